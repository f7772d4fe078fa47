package redistest

// Image is the Redis every run uses when nothing else is asked for. It is
// written here only: setup.sh reads this line, and a test holds compose.yaml
// to it.
const Image = "redis:7.4-alpine"

// ImageVar is the environment variable that names another image. setup.sh
// sets it where no registry answers and the image is built on the spot.
const ImageVar = "PARLEY_REDIS_IMAGE"

// RequireVar is the environment variable that forbids skipping: where it is
// true, a test that cannot have its Redis fails.
const RequireVar = "REQUIRE_DOCKER"
