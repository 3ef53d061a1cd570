package blob

import (
	"crypto/fips140"
	"crypto/pbkdf2"
	"crypto/sha256"
	"fmt"

	"golang.org/x/crypto/argon2"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/kms"
)

// The password form (SSE spec section 14.2): salt, number of the scheme, nonce,
// chunks.
const (
	saltSize           = 32
	passwordPrefixSize = saltSize + 1 + nonceSize

	argonAES    = 0 // Argon2id, AES-256-GCM
	argonChaCha = 1 // Argon2id, ChaCha20-Poly1305
	pbkdf2AES   = 2 // PBKDF2-HMAC-SHA-256, AES-256-GCM
)

// What a password costs is fixed by the form, so that no blob can ask for more:
// 64 MiB for some tens of milliseconds.
const (
	argonTime, argonMemory, argonThreads = 1, 64 << 10, 4 // memory in KiB
	pbkdf2Iterations                     = 8192
)

func looksLikePassword(b []byte) bool {
	return len(b) >= passwordPrefixSize+aead.TagSize && b[saltSize] <= pbkdf2AES
}

// OpenPassword returns the plaintext of a blob sealed under a password: old
// configuration of MinIO, and bodies of its admin API, whose password is the
// secret key of the caller. Every call needs 64 MiB of memory for as long as it
// takes; whoever calls for strangers bounds how many run at once.
//
// Errors: kms.ErrNotAuthentic for another password or damage, of which
// *FormatError is what can be seen without a password; ErrTooLarge;
// kms.ErrUnsupported in FIPS 140-3 mode, where there is no Argon2.
func OpenPassword(password string, b []byte) ([]byte, error) {
	if !looksLikePassword(b) {
		return nil, &FormatError{"it is not of the password form"}
	}
	algorithm := AES256GCM
	if b[saltSize] == argonChaCha {
		algorithm = ChaCha20Poly1305
	}
	if err := algorithm.allowed(); err != nil {
		return nil, err
	}
	key, err := passwordKey(password, b[:saltSize], b[saltSize])
	if err != nil {
		return nil, err
	}
	defer clear(key)
	var c chunks
	if err := c.begin(algorithm, key, b[saltSize+1:passwordPrefixSize]); err != nil {
		return nil, err
	}
	defer c.end()
	return c.open(b[passwordPrefixSize:])
}

func passwordKey(password string, salt []byte, scheme byte) ([]byte, error) {
	if scheme == pbkdf2AES {
		return pbkdf2.Key(sha256.New, password, salt, pbkdf2Iterations, aead.KeySize)
	}
	if fips140.Enabled() {
		return nil, fmt.Errorf("%w: Argon2 in FIPS 140-3 mode", kms.ErrUnsupported)
	}
	return argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, aead.KeySize), nil
}
