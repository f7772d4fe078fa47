package main

import (
	"context"
	"os"
	"os/signal"
)

// untilSignal is a context that is canceled at the first of these signals, for a
// graceful shutdown. The second ends the process at once. Both are caught: a second
// signal that came before the first was handled would otherwise be lost.
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
