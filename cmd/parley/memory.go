package main

import "github.com/KimMachineGun/automemlimit/memlimit"

// limitMemory has the collector work harder as the process comes near the memory
// that its container may use, where it would be killed. GOMEMLIMIT wins. Without a
// container there is no limit, and where there is one that cannot be read, nothing is
// lost but this.
func limitMemory(container memlimit.Provider) { _, _ = memlimit.Set(memlimit.WithProvider(container)) }
