package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"

	"github.com/objseal/objseal/sse"
)

var errBadCustomerKey = errors.New("it does not hold the base64 of 32 bytes")

// readCustomerKey reads an SSE-C key: the base64 of 32 bytes, white space
// around it. "-" is standard input.
func readCustomerKey(path string, stdin io.Reader) (sse.CustomerKey, error) {
	if isKey(path) {
		return sse.CustomerKey{}, usagef("a customer key is read from a file, and this is a key: whoever sees this command line has it")
	}
	text, err := readSmall(path, stdin)
	if err != nil {
		if errors.Is(err, errBadCustomerKey) {
			err = fmt.Errorf("%s: %w", path, err)
		}
		return sse.CustomerKey{}, fmt.Errorf("failed to read the customer key: %w", err)
	}
	defer clear(text)
	raw, err := base64.StdEncoding.AppendDecode(nil, bytes.TrimSpace(text))
	defer clear(raw)
	key, invalid := sse.NewCustomerKey(raw)
	if err != nil || invalid != nil { // neither's words: they may quote the text
		return sse.CustomerKey{}, fmt.Errorf("failed to read the customer key in %s: %w", path, errBadCustomerKey)
	}
	return key, nil
}
