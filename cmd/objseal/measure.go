package main

import (
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/rand"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/stream"
)

// What is measured of a cipher.
const (
	sealPackage = "seal-package" // one package, with each kernel
	openPackage = "open-package"
	sealBuffer  = "seal-buffer" // a whole stream, in memory: stream.Seal
	sealReader  = "seal-reader" // the same through stream.EncryptReader
	copyMemory  = "copy"        // no cipher at all: what nothing that writes its output can pass
)

// Of streams and of the copy; a copy of 1 KiB measures the call.
var (
	streamSizes = []int{1 << 10, stream.PayloadSize, 16 << 20}
	copySizes   = streamSizes[1:]
)

// A contender is one thing to measure.
type contender struct {
	cipher    string
	kernel    string
	operation string
	size      int // bytes of plaintext a call takes
	call      func() error

	reference *contender // what it is compared with
	hidden    bool       // is a reference only

	calls  int       // in a round
	speeds []float64 // bytes a second, of each round
}

// contenders returns everything that can be measured here.
func contenders() ([]*contender, error) {
	if fips140.Enforced() {
		return nil, stream.ErrFIPS // Go then seals nothing under a nonce from a caller
	}
	src := make([]byte, slices.Max(streamSizes))
	rand.Read(src) // written to, so that it is not one page of zeros
	sealed, err := stream.EncryptedSize(int64(len(src)))
	if err != nil {
		return nil, err
	}
	dst := bytes.Repeat([]byte{1}, int(sealed))

	var all []*contender
	for _, c := range aead.Ciphers {
		if c == aead.ChaCha20Poly1305 && fips140.Enabled() {
			continue
		}
		for _, operation := range []string{sealPackage, openPackage} {
			var generic *contender
			for _, k := range c.Kernels() {
				if !c.Available(k) {
					continue
				}
				one := packageContender(c, k, operation, src, dst)
				if k == aead.Generic {
					generic = one
				}
				one.reference = generic
				all = append(all, one)
			}
		}
		references := map[int]*contender{}
		for _, operation := range []string{sealBuffer, sealReader} {
			for _, size := range streamSizes {
				if references[size] == nil {
					references[size] = libraryContender(c, src[:size], dst)
					all = append(all, references[size])
				}
				one := streamContender(c, operation, src[:size], dst)
				one.reference = references[size]
				all = append(all, one)
			}
		}
	}
	for _, size := range copySizes {
		all = append(all, &contender{operation: copyMemory, size: size, call: func() error {
			copy(dst[:size], src[:size])
			return nil
		}})
	}
	return all, nil
}

// The keys below are for the measurement only, so it does no harm that they
// seal the same plaintext under the same nonce again and again.
var (
	speedKey        = [aead.KeySize]byte{1: 1}
	speedNonce      = [aead.NonceSize]byte{1: 1}
	speedAssociated = [4]byte{0x20, 0, 0xff, 0xff} // a package header's first bytes
)

// packageContender seals or opens one full package.
func packageContender(c aead.Cipher, k aead.Kernel, operation string, src, dst []byte) *contender {
	key := new(aead.Key)
	key.Init(c, k, &speedKey)
	src, dst = src[:stream.PayloadSize], dst[:stream.PayloadSize+stream.TagSize]
	call := func() error {
		key.SealPackage(dst, src, &speedNonce, &speedAssociated)
		return nil
	}
	if operation == openPackage {
		in, out := make([]byte, len(dst)), dst[:len(src)]
		key.SealPackage(in, src, &speedNonce, &speedAssociated)
		call = func() error {
			if !key.OpenPackage(out, in, &speedNonce, &speedAssociated) {
				return fmt.Errorf("%v, kernel %v, does not open what it sealed", c, k)
			}
			return nil
		}
	}
	return &contender{cipher: c.String(), kernel: k.String(), operation: operation, size: len(src), call: call}
}

// streamContender seals a whole stream, as a user of package stream does.
func streamContender(c aead.Cipher, operation string, src, dst []byte) *contender {
	o := &stream.Options{Cipher: stream.AES256GCM}
	if c == aead.ChaCha20Poly1305 {
		o.Cipher = stream.ChaCha20Poly1305
	}
	call := func() error {
		_, err := stream.Seal(dst[:0], speedKey[:], src, o)
		return err
	}
	if operation == sealReader {
		call = func() error {
			r, err := stream.NewEncryptReader(speedKey[:], bytes.NewReader(src), o)
			if err == nil {
				_, err = r.WriteTo(io.Discard)
			}
			return err
		}
	}
	return &contender{cipher: c.String(), kernel: c.Best().String(), operation: operation, size: len(src), call: call}
}

// libraryContender is what the streams are compared with: the same packages
// sealed by Go's libraries, from setting up the key on, and no stream around it.
func libraryContender(c aead.Cipher, src, dst []byte) *contender {
	key := new(aead.Key)
	return &contender{hidden: true, size: len(src), call: func() error {
		key.Init(c, aead.Generic, &speedKey)
		for from, to := src, dst; len(from) > 0; {
			n := min(len(from), stream.PayloadSize)
			key.SealPackage(to[:n+stream.TagSize], from[:n], &speedNonce, &speedAssociated)
			from, to = from[n:], to[n+stream.TagSize:]
		}
		return nil
	}}
}

// A round gives each contender this long: enough to warm up its caches, and
// short enough for the next one to meet the same machine.
const turn = 4 * time.Millisecond

// measure lets all take turns, A B C A B C, for the time of budget, but once at
// least. What disturbs the machine meanwhile disturbs all of them alike. elapsed
// is told how far it is.
func measure(ctx context.Context, all []*contender, budget time.Duration, elapsed func(time.Duration)) (rounds int, err error) {
	start := time.Now()
	each := min(turn, budget/time.Duration(20*len(all)))
	for _, c := range all {
		if err := c.calibrate(ctx, each); err != nil {
			return 0, err
		}
		elapsed(time.Since(start))
	}
	for round := time.Duration(0); rounds == 0 || time.Since(start)+round <= budget; rounds++ {
		began := time.Now()
		for _, c := range all {
			took, err := c.take(ctx)
			if err != nil {
				return 0, err
			}
			c.speeds = append(c.speeds, float64(c.size)*float64(c.calls)/took.Seconds())
			elapsed(time.Since(start))
		}
		round = time.Since(began)
	}
	return rounds, nil
}

// calibrate finds out how many calls take about as long as each.
func (c *contender) calibrate(ctx context.Context, each time.Duration) error {
	for c.calls = 1; ; c.calls *= 2 {
		took, err := c.take(ctx)
		if err != nil {
			return err
		}
		if took >= each/2 {
			return nil
		}
	}
}

// take is the contender's turn.
func (c *contender) take(ctx context.Context) (time.Duration, error) {
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	start := time.Now()
	for range c.calls {
		if err := c.call(); err != nil {
			return 0, err
		}
	}
	// A clock may stand still for a turn as short as the tests ask for.
	return max(time.Since(start), time.Nanosecond), nil
}

// A speedRow is the result of a contender.
type speedRow struct {
	Cipher         string  `json:"cipher,omitempty"`
	Kernel         string  `json:"kernel,omitempty"`
	Operation      string  `json:"operation"`
	Size           int     `json:"size"`
	BytesPerSecond float64 `json:"bytes_per_second"`
	Ratio          float64 `json:"ratio,omitempty"`
}

func speedRows(all []*contender) []speedRow {
	var rows []speedRow
	for _, c := range all {
		if c.hidden {
			continue
		}
		r := speedRow{Cipher: c.cipher, Kernel: c.kernel, Operation: c.operation, Size: c.size, BytesPerSecond: median(c.speeds)}
		if c.reference != nil {
			// Round by round, as the machine's mood is the same in a round only.
			ratios := make([]float64, len(c.speeds))
			for i := range ratios {
				ratios[i] = c.speeds[i] / c.reference.speeds[i]
			}
			r.Ratio = median(ratios)
		}
		rows = append(rows, r)
	}
	return rows
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	if n := len(v) / 2; len(v)%2 == 1 {
		return v[n]
	} else {
		return (v[n-1] + v[n]) / 2
	}
}
