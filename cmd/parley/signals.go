package main

import (
	"context"
	"os"
	"os/signal"
)

// untilSignal is a context that is done at the first of these signals, which asks
// for an orderly end. The second ends the process at once, as signals do. Both
// are caught for that: were the second left to the system, it would be lost
// whenever it came before the first was dealt with.
func untilSignal(which ...os.Signal) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	came := make(chan os.Signal, 2)
	signal.Notify(came, which...)
	go func() { // ends with the process
		<-came
		cancel()
		second := <-came
		signal.Reset(second)
		if self, err := os.FindProcess(os.Getpid()); err == nil {
			_ = self.Signal(second)
		}
	}()
	return ctx
}
