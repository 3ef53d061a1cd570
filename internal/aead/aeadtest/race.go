//go:build race

package aeadtest

// Race tells whether the race detector is on, which makes every test several
// times slower: suites have fewer cases then.
const Race = true
