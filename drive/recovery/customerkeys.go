package recovery

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/objseal/objseal/sse"
)

// CustomerKeys are the keys of SSE-C versions, by where they apply. The zero value
// has none.
type CustomerKeys struct {
	keys map[scope]sse.CustomerKey
	// prefixes has, for each bucket, the lengths of the prefixes there are,
	// longest first.
	prefixes map[string][]int
}

// A scope is what one line of a key file applies to.
type scope struct {
	bucket, name string
	exact        bool   // name is an object's, else a prefix
	version      string // empty: all versions
}

// A CustomerKeyError tells which line of a key file is not one. It holds nothing of the
// line: that may be a key. It is sse.ErrInvalidRequest.
type CustomerKeyError struct {
	Line    int
	Problem string // completes "line N …"
}

func (e *CustomerKeyError) Error() string {
	return fmt.Sprintf("customer keys: line %d %s", e.Line, e.Problem)
}

// Unwrap returns sse.ErrInvalidRequest.
func (e *CustomerKeyError) Unwrap() error { return sse.ErrInvalidRequest }

// maxKeyLine is more than the longest S3 name takes, all of it escaped.
const maxKeyLine = 64 << 10

// ReadCustomerKeys reads a key file: JSON lines
//
//	{"bucket", "object" or "prefix", "version_id" (optional), "key"}
//
// where object is an exact name, prefix any beginning of a name (the empty one for the
// whole bucket) and key the base64 of 32 bytes. Empty lines are skipped.
// Errors are a *CustomerKeyError, or those of r.
func ReadCustomerKeys(r io.Reader) (*CustomerKeys, error) {
	c := &CustomerKeys{keys: make(map[scope]sse.CustomerKey), prefixes: make(map[string][]int)}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4<<10), maxKeyLine)
	n := 0
	for lines.Scan() {
		n++
		if problem := c.add(lines.Bytes()); problem != "" {
			return nil, &CustomerKeyError{n, problem}
		}
	}
	if err := lines.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, &CustomerKeyError{n + 1, "is too long"}
	} else if err != nil {
		return nil, err
	}
	return c, nil
}

// add takes one line, and says what is wrong with it.
func (c *CustomerKeys) add(line []byte) (problem string) {
	if len(bytes.TrimSpace(line)) == 0 {
		return ""
	}
	var l struct {
		Bucket    string  `json:"bucket"`
		Object    *string `json:"object"`
		Prefix    *string `json:"prefix"`
		VersionID string  `json:"version_id"`
		Key       string  `json:"key"`
	}
	// A misspelt field would make the line apply to more than was meant.
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if d.Decode(&l) != nil || d.More() {
		return "is not a JSON object of bucket, object or prefix, version_id and key"
	}
	s := scope{bucket: l.Bucket, version: l.VersionID}
	switch {
	case l.Bucket == "":
		return "names no bucket"
	case (l.Object == nil) == (l.Prefix == nil):
		return "needs one of object and prefix"
	case l.Prefix != nil:
		s.name = *l.Prefix
	case *l.Object == "":
		return "has an empty object name; the whole bucket is an empty prefix"
	default:
		s.name, s.exact = *l.Object, true
	}
	raw, err := base64.StdEncoding.DecodeString(l.Key)
	defer clear(raw)
	key, invalid := sse.NewCustomerKey(raw)
	if err != nil || invalid != nil {
		return "has a key that is not the base64 of 32 bytes"
	}
	if known, ok := c.keys[s]; ok && !known.Equal(key) {
		return "has another key for what an earlier line names already"
	}
	c.keys[s] = key
	if at, found := slices.BinarySearchFunc(c.prefixes[s.bucket], len(s.name), func(a, b int) int { return b - a }); !s.exact && !found {
		c.prefixes[s.bucket] = slices.Insert(c.prefixes[s.bucket], at, len(s.name))
	}
	return ""
}

// Find returns the key of a version: that of the most exact line. An exact name
// goes before a prefix, a longer prefix before a shorter one, and of one name or
// prefix the line with the version id before that without.
func (c *CustomerKeys) Find(bucket, object, version string) (sse.CustomerKey, bool) {
	if c == nil {
		return sse.CustomerKey{}, false
	}
	if key, ok := c.find(scope{bucket: bucket, name: object, exact: true}, version); ok {
		return key, true
	}
	for _, n := range c.prefixes[bucket] {
		if n <= len(object) {
			if key, ok := c.find(scope{bucket: bucket, name: object[:n]}, version); ok {
				return key, true
			}
		}
	}
	return sse.CustomerKey{}, false
}

func (c *CustomerKeys) find(s scope, version string) (sse.CustomerKey, bool) {
	all, ok := c.keys[s]
	s.version = version
	if key, exact := c.keys[s]; exact {
		return key, true
	}
	return all, ok
}

// names calls fn for every exact object name.
func (c *CustomerKeys) names(fn func(bucket, object string)) {
	if c == nil {
		return
	}
	for s := range c.keys {
		if s.exact {
			fn(s.bucket, s.name)
		}
	}
}

// Wipe overwrites the keys.
func (c *CustomerKeys) Wipe() {
	if c == nil {
		return
	}
	for _, key := range c.keys {
		key.Wipe()
	}
}
