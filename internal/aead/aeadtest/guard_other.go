//go:build !unix

package aeadtest

var guardChecks []Check
