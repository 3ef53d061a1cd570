//go:build unix

// Package kessuite is what must hold between objseal and a real KES server,
// whatever its generation. A nested module that has a server as its Go tool
// calls [Run] and says which generation it is; nothing here knows a version.
//
// The suite looks from both ends: through the library (every key backend's
// conformance suite, over both ways of authentication) and through the built
// command as a black box (sealing, opening, rewrapping, golden objects, bad
// input). Servers are real processes on loopback ports (package kesproc).
package kessuite

import (
	"testing"

	"github.com/objseal/objseal/internal/interop/process"
)

// Generation tells one generation of servers from another.
type Generation struct {
	// Golden names the deployments of golden objects whose key stores this
	// server can serve: a server reads its own generation's keys and older ones.
	Golden []string
	// GoldenDir is the directory of the golden objects, from the calling test.
	GoldenDir string
	// ErrorTable is the path of docs/errors.md, from the calling test.
	ErrorTable string
	// Older is for servers before v0.24, which say some things differently.
	Older bool
	// CountsRequests: the server's metrics do, in older ones they stay 0.
	CountsRequests bool
	// ReadsNewest: the server opens ciphertexts and key files of the newest
	// form, which objseal writes.
	ReadsNewest bool
}

// Run runs the suite against the server in the caller's module.
func Run(t *testing.T, g Generation) {
	kes := process.Build(t, ".", "github.com/minio/kes/cmd/kes")
	command := process.Build(t, moduleDir(t), "./cmd/objseal")

	t.Run("server", func(t *testing.T) { testServer(t, kes) })
	t.Run("key store", func(t *testing.T) { testKeyStore(t, kes, g) })
	t.Run("backend", func(t *testing.T) { testBackend(t, kes) })
	t.Run("command", func(t *testing.T) { testCommand(t, kes, command) })
	t.Run("golden", func(t *testing.T) { testGolden(t, kes, command, g) })
	t.Run("cache", func(t *testing.T) { testCache(t, kes) })
	t.Run("offline", func(t *testing.T) { testOffline(t, kes, command, g) })
	t.Run("refusals", func(t *testing.T) { testRefusals(t, kes, command) })
	t.Run("errors", func(t *testing.T) { testErrors(t, kes, command, g) })
	t.Run("count", func(t *testing.T) { testCount(t, kes, command, g) })
	t.Run("faults", func(t *testing.T) { testFaults(t, kes) })
	t.Run("failover", func(t *testing.T) { testFailover(t, kes, command) })
}
