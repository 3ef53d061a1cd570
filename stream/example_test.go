package stream_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strings"

	"github.com/objseal/objseal/stream"
)

func Example() {
	key := make([]byte, stream.KeySize) // in practice, a new key per object
	rand.Read(key)

	r, err := stream.NewEncryptReader(key, strings.NewReader("the object"), nil)
	if err != nil {
		log.Fatal(err)
	}
	sealed, err := io.ReadAll(r)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(len(sealed), "bytes of ciphertext")

	d, err := stream.NewDecryptReader(key, bytes.NewReader(sealed), nil)
	if err != nil {
		log.Fatal(err)
	}
	if _, err := io.Copy(os.Stdout, d); err != nil {
		log.Fatal(err)
	}
	// Output:
	// 42 bytes of ciphertext
	// the object
}

// A stream that lost its end is told from one that was changed.
func ExampleError() {
	key := make([]byte, stream.KeySize)
	sealed, _ := stream.Seal(nil, key, make([]byte, 100_000), nil)

	_, err := stream.Open(nil, key, sealed[:stream.PackageSize], nil)
	fmt.Println(errors.Is(err, stream.ErrTruncated), err)

	sealed[70_000] ^= 1
	_, err = stream.Open(nil, key, sealed, nil)
	var e *stream.Error
	fmt.Println(errors.Is(err, stream.ErrTampered), errors.As(err, &e), e.Package)
	// Output:
	// true stream: truncated: package 1 at offset 65568: the final package is missing
	// true true 1
}

// A part of an object: compute what to fetch, fetch it, decrypt it.
func ExamplePackageRange() {
	key := make([]byte, stream.KeySize)
	object := []byte(strings.Repeat("0123456789", 30_000))
	sealed, _ := stream.Seal(nil, key, object, nil)

	r, err := stream.PackageRange(int64(len(object)), 123_456, 8)
	if err != nil {
		log.Fatal(err)
	}
	fetched := bytes.NewReader(sealed[r.Offset : r.Offset+r.Length])
	fmt.Println("fetched", r.Length, "of", len(sealed))

	d, err := stream.NewRangeReader(key, fetched, r, nil)
	if err != nil {
		log.Fatal(err)
	}
	part, err := io.ReadAll(d)
	fmt.Println(string(part), err)
	// Output:
	// fetched 65568 of 300160
	// 67890123 <nil>
}
