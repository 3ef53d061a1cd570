package dek

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
)

// sealed is a ciphertext taken apart.
type sealed struct {
	iv    []byte // 16 bytes
	nonce []byte // 12 bytes
	bytes []byte // C, at least a tag
}

func (s sealed) valid() bool {
	return len(s.iv) == ivSize && len(s.nonce) == nonceSize && len(s.bytes) >= tagSize
}

// parse takes a ciphertext of any form apart; the algorithm is 0 if none is
// named. What does not parse as it begins is raw: raw ciphertexts are random,
// and one of 128 begins like one of the other forms. It fails for a ciphertext
// that is too short even for that.
func parse(ciphertext []byte) (s sealed, alg Algorithm, ok bool) {
	if len(ciphertext) == 0 {
		return sealed{}, 0, false
	}
	switch ciphertext[0] {
	case fixArray5:
		if s, alg, ok := parseMessagePack(ciphertext[1:]); ok {
			return s, alg, true
		}
	case '{':
		if s, alg, ok := parseJSON(ciphertext); ok {
			return s, alg, true
		}
	}
	n := len(ciphertext) - ivSize - nonceSize
	if n < tagSize {
		return sealed{}, 0, false
	}
	return sealed{bytes: ciphertext[:n], iv: ciphertext[n : n+ivSize], nonce: ciphertext[n+ivSize:]}, 0, true
}

// KeyID returns the key id that KES wrote into MessagePack and JSON: half of the
// key's SHA-256, in hex (KES spec section 5.1).
func KeyID(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:keyIDSize])
}

const keyIDSize = 16

// NamedKeyID returns the key id that a ciphertext names; false if it names
// none, which is no error. Nothing vouches for it.
func NamedKeyID(ciphertext []byte) (id string, ok bool) {
	if len(ciphertext) == 0 {
		return "", false
	}
	switch ciphertext[0] {
	case fixArray5:
		if _, _, ok = parseMessagePack(ciphertext[1:]); ok {
			_, rest, _ := nextItem(ciphertext[1:], true)
			item, _, _ := nextItem(rest, true)
			id = string(item)
		}
	case '{':
		if _, _, ok = parseJSON(ciphertext); ok {
			var v struct{ ID string }
			ok = json.Unmarshal(ciphertext, &v) == nil
			id = v.ID
		}
	}
	if b, err := hex.DecodeString(id); !ok || err != nil || len(b) != keyIDSize {
		return "", false
	}
	return id, true
}

// parseJSON reads the form of KES spec section 5.1, and no other.
func parseJSON(text []byte) (sealed, Algorithm, bool) {
	var v struct {
		AEAD             string
		IV, Nonce, Bytes []byte
	}
	if json.Unmarshal(text, &v) != nil {
		return sealed{}, 0, false
	}
	var alg Algorithm
	switch v.AEAD {
	case "AES-256-GCM-HMAC-SHA-256":
		alg = AES256
	case "AES-256-GCM":
		alg = oldAES256
	case "ChaCha20Poly1305":
		alg = ChaCha20
	default:
		return sealed{}, 0, false
	}
	s := sealed{iv: v.IV, nonce: v.Nonce, bytes: v.Bytes}
	return s, alg, s.valid()
}

// The few bytes of MessagePack that the form of KES spec section 5.2 needs.
const (
	fixArray5 = 0x95
	fixStr    = 0xa0 // to 0xbf: length in the low 5 bits
	bin8      = 0xc4 // bin16, bin32 follow
	str8      = 0xd9 // str16, str32 follow
)

// parseMessagePack reads the five items, and no other form.
func parseMessagePack(b []byte) (sealed, Algorithm, bool) {
	var items [5][]byte
	for i := range items {
		var ok bool
		if items[i], b, ok = nextItem(b, i < 2); !ok {
			return sealed{}, 0, false
		}
	}
	alg, ok := ParseAlgorithm(string(items[0]))
	s := sealed{iv: items[2], nonce: items[3], bytes: items[4]}
	return s, alg, ok && len(b) == 0 && s.valid()
}

// nextItem cuts a string, or else binary data, off b.
func nextItem(b []byte, isString bool) (item, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	head, b := b[0], b[1:]
	first := byte(bin8)
	if isString {
		first = str8
	}
	var n uint64
	switch {
	case isString && head&0xe0 == fixStr:
		n = uint64(head & 0x1f)
	case head == first && len(b) >= 1:
		n, b = uint64(b[0]), b[1:]
	case head == first+1 && len(b) >= 2:
		n, b = uint64(binary.BigEndian.Uint16(b)), b[2:]
	case head == first+2 && len(b) >= 4:
		n, b = uint64(binary.BigEndian.Uint32(b)), b[4:]
	default:
		return nil, nil, false
	}
	if n > uint64(len(b)) {
		return nil, nil, false
	}
	return b[:n], b[n:], true
}
