package matrix

import _ "embed"

// pageText is the template of the page.
//
//go:embed page.html
var pageText string
