package drive

import (
	"fmt"
	"io"
	"testing"

	"github.com/objseal/objseal/sse"
)

// BenchmarkFetch reads a stored object of 64 MiB, whole and with as many drives missing as may be.
func BenchmarkFetch(b *testing.B) {
	for _, code := range [][2]int{{1, 0}, {2, 2}, {12, 4}} {
		for _, lost := range []int{0, code[1]} {
			if lost == 0 && code[1] != 0 || lost > 0 || code[1] == 0 {
				b.Run(fmt.Sprintf("data=%d/parity=%d/lost=%d", code[0], code[1], lost), func(b *testing.B) {
					c := newCluster(b, 1, code[0]+code[1])
					v := &version{m: code[0], n: code[1], parts: [][]byte{testData("bench", 64<<20)}}
					c.put(0, "bucket", "object", 3, v)
					var roots []string
					for slot := range c.sets[0] {
						if v.dist[slot] > lost { // data shards are lost
							roots = append(roots, c.root(0, slot))
						}
					}
					d := c.open(roots...)
					o, err := d.Lookup(b.Context(), "bucket", "object")
					if err != nil {
						b.Fatal(err)
					}
					b.SetBytes(64 << 20)
					b.ReportAllocs()
					for b.Loop() {
						r, err := o.Latest().fetch(b.Context(), 0, o.Latest().Size)
						if err != nil {
							b.Fatal(err)
						}
						if _, err := r.WriteTo(io.Discard); err != nil {
							b.Fatal(err)
						}
						r.Close()
					}
				})
			}
		}
	}
}

// BenchmarkWalk visits small objects, and reads them.
func BenchmarkWalk(b *testing.B) {
	for _, drives := range []int{1, 4} {
		const objects = 2000
		c := newCluster(b, 1, drives)
		for i := range objects {
			c.put(0, "bucket", fmt.Sprintf("dir%d/object-%05d", i%10, i), 3, &version{parts: [][]byte{testData("small", 4<<10)}, inline: true})
		}
		d := c.open()
		for _, read := range []bool{false, true} {
			b.Run(fmt.Sprintf("drives=%d/read=%v", drives, read), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					n := 0
					err := d.Walk(b.Context(), nil, func(o *Object) error {
						n++
						if !read {
							return nil
						}
						content, err := o.Latest().Open(b.Context(), nil, nil)
						if err != nil {
							return err
						}
						r, err := content.NewReader(b.Context(), sse.Whole)
						if err != nil {
							return err
						}
						defer r.Close()
						_, err = io.Copy(io.Discard, r)
						return err
					})
					if err != nil || n != objects {
						b.Fatal(n, err)
					}
				}
				b.ReportMetric(float64(objects)*float64(b.N)/b.Elapsed().Seconds(), "objects/s")
			})
		}
	}
}
