package kms

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// AssociatedData binds a data key to names: the "context" of MinIO and KES,
// the "encryption context" of AWS. It is not secret. The key server
// authenticates its canonical bytes, so a single different byte makes Decrypt
// fail.
type AssociatedData map[string]string

// Canonical returns the one encoding that is authenticated: compact JSON, keys
// sorted by their raw bytes, "{}" if empty. It is byte-equal to what MinIO
// sends (KES spec section 3.1, SSE spec section 3.3).
func (a AssociatedData) Canonical() []byte {
	if len(a) == 0 {
		return []byte("{}")
	}
	var few [8]string
	keys := few[:0]
	size := 1
	for k, v := range a {
		keys = append(keys, k)
		size += len(k) + len(v) + len(`"":"",`)
	}
	slices.Sort(keys)
	b := make([]byte, 0, size)
	sep := byte('{')
	for _, k := range keys {
		b = append(b, sep)
		b = appendQuoted(b, k)
		b = append(b, ':')
		b = appendQuoted(b, a[k])
		sep = ','
	}
	return append(b, '}')
}

// appendQuoted is not encoding/json's string encoder: that one writes 0x08 and
// 0x0c as \b and \f since Go 1.22, and the key server would see other bytes.
func appendQuoted(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				b = append(b, `\ufffd`...)
			case r == '\u2028':
				b = append(b, `\u2028`...)
			case r == '\u2029':
				b = append(b, `\u2029`...)
			default:
				b = append(b, s[i:i+n]...)
			}
			i += n
			continue
		}
		switch {
		case c == '"', c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c < ' ', c == '<', c == '>', c == '&':
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			b = append(b, c)
		}
		i++
	}
	return append(b, '"')
}

var errAssociatedData = errors.New("associated data is not a JSON object of strings")

// ParseAssociatedData reads a JSON object with string values, in any spelling;
// Canonical of the result is what the key server sees. As in MinIO a null
// value is the empty string, the last of equal keys wins, and the JSON text
// null is the empty set (SSE spec section 3.2).
func ParseAssociatedData(text []byte) (AssociatedData, error) {
	var pairs map[string]*string
	if err := json.Unmarshal(text, &pairs); err != nil {
		// The decoder's own words may quote the text at any length.
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			return nil, fmt.Errorf("%w: syntax error at byte %d", errAssociatedData, syntax.Offset)
		}
		return nil, errAssociatedData
	}
	a := make(AssociatedData, len(pairs))
	for k, v := range pairs {
		if v != nil {
			a[k] = *v
		} else {
			a[k] = ""
		}
	}
	return a, nil
}
