package gocloud

import (
	"context"
	"fmt"
	"slices"
)

// await calls a keeper and returns its result, or an error as soon as ctx ends.
// Not every driver ends with its context (the one of Vault does not look at it),
// and a key server that hangs must not hang its callers. A call that was left
// gets a copy of the input, which it wipes with its result.
//
// It also ends a panic: drivers trust the form of their server's answers, and a
// process must not end because one is odd.
func await(ctx context.Context, call func(context.Context, []byte) ([]byte, error), in []byte) ([]byte, error) {
	type result struct {
		out []byte
		err error
	}
	done := make(chan result) // without a buffer: either the result is taken or ctx has ended
	in = slices.Clone(in)
	go func() {
		var r result
		defer clear(in)
		defer func() {
			if p := recover(); p != nil {
				r = result{err: fmt.Errorf("the driver of the key server panicked: %v", p)}
			}
			select {
			case done <- r:
			case <-ctx.Done():
				clear(r.out)
			}
		}()
		out, err := call(ctx, in)
		r = result{slices.Clone(out), err} // a driver may return memory of its input
		clear(out)
	}()
	select {
	case r := <-done:
		return r.out, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
