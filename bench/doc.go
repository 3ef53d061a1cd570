// Package bench compares objseal with what else seals streams, in one run on
// one machine: every figure stands beside its peers as impl=. It has benchmarks
// and tests only; README.md tells what is measured, how, and how to run it.
package bench
