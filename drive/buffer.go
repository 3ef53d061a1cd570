package drive

import (
	"math/bits"
	"sync"
)

// buffers are pooled by size, in powers of two, up to the largest block that is
// read.
var buffers [28]sync.Pool

func takeBuffer(n int64) []byte {
	class := bits.Len64(uint64(max(n, 1) - 1))
	if class >= len(buffers) {
		return make([]byte, n)
	}
	if p, ok := buffers[class].Get().(*[]byte); ok {
		return (*p)[:n]
	}
	return make([]byte, n, 1<<class)
}

// giveBuffer takes back what takeBuffer gave.
func giveBuffer(b []byte) {
	class := bits.Len64(uint64(max(cap(b), 1) - 1))
	if class < len(buffers) && cap(b) == 1<<class {
		b = b[:cap(b)]
		buffers[class].Put(&b)
	}
}
