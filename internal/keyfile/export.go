package keyfile

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/objseal/objseal/internal/dek"
	"github.com/objseal/objseal/internal/secret"
)

// ErrTransit: the value is itself encrypted by Vault's transit engine, which
// alone can open it (KES spec section 6.3).
var ErrTransit = errors.New("it is encrypted by Vault's transit engine: decrypt it there and decode the base64 first")

// maxNesting is how many layers of objects and base64 an export can have;
// the deepest that is known, Vault's answer with two objects "data", has four.
const maxNesting = 5

// ParseExport reads a key as another key store gave it away: the bare base64 of
// its 32 bytes (then it counts as AES256), the value that Parse takes, or that
// value inside of what the store's client prints (KES spec section 6.3):
//
//	Vault                {name: value}, also below data or data.data
//	AWS                  {"SecretString": value} or {"SecretBinary": base64(value)}
//	Azure, KeySecure     {"value": value}, {"material": value}
//	Fortanix, Entrust    {"value": base64(value)}, {"secret_data": base64(value)}
//	GCP                  {"payload": {"data": base64(value)}}
func ParseExport(text []byte) (Key, error) {
	if len(text) > MaxSize {
		return Key{}, tooLarge()
	}
	return parseExport(text, maxNesting)
}

func parseExport(text []byte, nesting int) (Key, error) {
	text = bytes.TrimSpace(text)
	if nesting == 0 {
		return Key{}, fmt.Errorf("%w: too many layers around it", ErrFormat)
	}
	if bytes.HasPrefix(text, []byte("vault:v")) {
		return Key{}, ErrTransit
	}
	if len(text) > 0 && text[0] == '{' {
		return parseObject(text, nesting)
	}
	if len(text) > 0 && text[0] == '"' {
		return parseMember(text, nesting)
	}
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	defer clear(decoded)
	n, err := base64.StdEncoding.Decode(decoded, text)
	if err != nil {
		return Key{}, fmt.Errorf("%w: neither JSON nor base64", ErrFormat)
	}
	decoded = decoded[:n]
	if n == secret.Size {
		k, err := newSecret(decoded)
		return Key{Secret: k, Algorithm: dek.AES256}, err
	}
	k, err := parseMessage(decoded)
	if err == nil {
		return k, nil
	}
	if inner, errInner := parseExport(decoded, nesting-1); errInner == nil {
		return inner, nil
	}
	return Key{}, err
}

// parseObject reads the JSON of a key, or looks for one in the members of an
// object. Members are looked at by their names, not tried: what an export says
// besides must not become a key.
func parseObject(text []byte, nesting int) (Key, error) {
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return Key{}, errJSON
	}
	defer func() {
		for _, m := range members {
			clear(m)
		}
	}()
	for name := range members {
		if strings.EqualFold(name, "bytes") { // as encoding/json matches it
			return parseJSON(text)
		}
	}
	for _, name := range []string{"SecretString", "SecretBinary", "value", "material", "secret_data", "data", "payload"} {
		if inner, ok := members[name]; ok && !bytes.Equal(inner, []byte("null")) {
			return parseMember(inner, nesting)
		}
	}
	if len(members) == 1 {
		for _, inner := range members {
			return parseMember(inner, nesting)
		}
	}
	return Key{}, errJSON
}

func parseMember(inner json.RawMessage, nesting int) (Key, error) {
	if inner[0] == '{' { // never empty: a JSON value
		return parseExport(inner, nesting-1)
	}
	var value text
	defer func() { clear(value) }()
	if inner[0] != '"' || json.Unmarshal(inner, &value) != nil {
		return Key{}, errJSON
	}
	return parseExport(value, nesting-1)
}

// text is the content of a JSON string in memory that can be wiped.
type text []byte

func (t *text) UnmarshalText(b []byte) error {
	*t = bytes.Clone(b)
	return nil
}
