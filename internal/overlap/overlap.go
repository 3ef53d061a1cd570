// Package overlap tells whether two buffers share memory.
package overlap

import "unsafe"

// Any reports whether a and b share memory.
func Any(a, b []byte) bool {
	return len(a) > 0 && len(b) > 0 &&
		uintptr(unsafe.Pointer(&a[0])) <= uintptr(unsafe.Pointer(&b[len(b)-1])) &&
		uintptr(unsafe.Pointer(&b[0])) <= uintptr(unsafe.Pointer(&a[len(a)-1]))
}

// Inexact reports whether a and b share memory and begin at different places.
func Inexact(a, b []byte) bool {
	return Any(a, b) && &a[0] != &b[0]
}
