//go:build race

package aeadtest

// raceEnabled: the race detector makes every test several times slower.
const raceEnabled = true
