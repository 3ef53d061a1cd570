// Package blob seals small secrets, whole in memory, under a data key, in the
// form that MinIO gives its server configuration and IAM data: what lies below
// .minio.sys/config when a key server is configured.
//
// Start with [ReadFile]: it takes a file of a MinIO drive as it was stored,
// plain or sealed in any way, and returns its text. [Seal] and [Open] are the
// one current form, [OpenPassword] is the older one, and [Detect] tells them
// apart. [Parse] says which key a blob needs without having it.
//
// # Layout
//
// A blob that Seal writes (SSE spec section 14.1):
//
//	1 byte   0x01
//	4 bytes  length of the header, little endian
//	header   JSON: name of the key, sealed data key, algorithm, nonce
//	chunks   of 16384 bytes of plaintext, each 16 bytes longer when sealed
//
// The data key is bound to the path of the file, so that a blob moved to the
// place of another one does not open. Every chunk is bound to its place, and
// the last one to being the last.
//
// # Not guaranteed
//
// The name of the key and the algorithm are not authenticated; changing them
// leads to a blob that does not open. An older blob of the same path opens too:
// nothing here can see that it was put back. A file that is plain text is
// returned as it is, whoever wrote it; see [ReadFile].
package blob

import (
	"context"
	"crypto/fips140"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"unicode/utf8"

	"github.com/objseal/objseal/internal/aead"
	"github.com/objseal/objseal/internal/cpu"
	"github.com/objseal/objseal/kms"
)

// MaxSize is the longest plaintext in bytes that is sealed or opened. MinIO's
// own files have some kilobytes; a list of policies can have megabytes.
const MaxSize = 64 << 20

// ErrTooLarge: a plaintext is longer than [MaxSize].
var ErrTooLarge = errors.New("a blob has 64 MiB at most")

// A FormatError is a blob that no writer makes. It is a kms.ErrNotAuthentic: a
// damaged ciphertext.
type FormatError struct{ Problem string }

func (e *FormatError) Error() string { return "malformed blob: " + e.Problem }
func (e *FormatError) Unwrap() error { return kms.ErrNotAuthentic }

// Form is how a file below .minio.sys/config is stored.
type Form uint8

const (
	Plain    Form = iota // valid UTF-8: not sealed
	Sealed               // under a data key: what Seal writes
	Password             // under the root credentials: the older form
	Unknown              // neither text nor long enough for the others
)

func (f Form) String() string {
	switch f {
	case Plain:
		return "plain"
	case Sealed:
		return "sealed"
	case Password:
		return "password"
	case Unknown:
		return "unknown"
	}
	return fmt.Sprintf("Form(%d)", uint8(f))
}

// Detect tells the form of a file by its content, without a key. The password
// form has no mark of its own: it is whatever begins like nothing else and has
// a known number where the form wants one. That a password blob passes for one
// of the others has a chance of less than 2^-40.
func Detect(b []byte) Form {
	if _, _, err := parse(b); err == nil || errors.Is(err, kms.ErrUnsupported) {
		return Sealed
	}
	switch {
	case utf8.Valid(b):
		return Plain
	case looksLikePassword(b):
		return Password
	case len(b) > prefixSize && b[0] == version && b[prefixSize] == '{':
		return Sealed // damaged
	}
	return Unknown
}

// AssociatedData returns what the data key of a file is bound to. name is the
// path of the file below .minio.sys, such as config/config.json.
func AssociatedData(name string) kms.AssociatedData {
	return kms.AssociatedData{systemBucket: path.Join(systemBucket, name)}
}

// OldAssociatedData is AssociatedData as MinIO wrote it before it put the
// bucket in front of the path. Only for reading.
func OldAssociatedData(name string) kms.AssociatedData {
	return kms.AssociatedData{systemBucket: path.Join(name)}
}

const systemBucket = ".minio.sys"

// ReadFile returns the plaintext of a file, whatever its form, and which that
// was. name is as for [AssociatedData]; both generations of associated data are
// tried. password is "access key:secret key" of the root user at the time of
// writing, for files of the oldest form; empty if there are none. client may be
// nil where no file is sealed under a data key.
//
// Plain text is returned as it is. Where files have to be sealed, refuse
// [Plain]: whoever can write to the drive can write plain text.
//
// Errors: those of [Open] and [OpenPassword]; kms.ErrNotConfigured if the file
// needs a password and there is none; *FormatError for an unknown form.
func ReadFile(ctx context.Context, client *kms.Client, name, password string, b []byte) ([]byte, Form, error) {
	form := Detect(b)
	var err error
	switch form {
	case Plain:
		return b, form, nil
	case Sealed:
		b, err = Open(ctx, client, b, AssociatedData(name), OldAssociatedData(name))
	case Password:
		if password == "" {
			return nil, form, fmt.Errorf("failed to open %q: it is sealed under root credentials: %w", name, kms.ErrNotConfigured)
		}
		b, err = OpenPassword(password, b)
	default:
		err = &FormatError{"it has no known form"}
	}
	if err != nil {
		return nil, form, fmt.Errorf("failed to open %q: %w", name, err)
	}
	return b, form, nil
}

// Options are the settings of Seal. The zero value is good.
type Options struct {
	KeyID     string    // names the key; default: the client's default key
	Algorithm Algorithm // default: AES256GCM where the processor has it, else ChaCha20Poly1305
}

// Seal returns plaintext sealed under a new data key of client, bound to ad. It
// asks client for one data key.
//
// Errors: *kms.Error of the client; ErrTooLarge; kms.ErrUnsupported for an
// algorithm that is unknown, only for reading or refused in FIPS 140-3 mode.
func Seal(ctx context.Context, client *kms.Client, plaintext []byte, ad kms.AssociatedData, o *Options) ([]byte, error) {
	var opts Options
	if o != nil {
		opts = *o
	}
	switch {
	case len(plaintext) > MaxSize:
		return nil, ErrTooLarge
	case opts.Algorithm == "":
		opts.Algorithm = defaultAlgorithm()
	case opts.Algorithm != AES256GCM && opts.Algorithm != ChaCha20Poly1305:
		return nil, errAlgorithm(opts.Algorithm)
	}
	if err := opts.Algorithm.allowed(); err != nil {
		return nil, err
	}
	g, err := client.GenerateKey(ctx, opts.KeyID, ad)
	if err != nil {
		return nil, err
	}
	defer g.Key.Wipe()
	h := Header{KeyID: g.KeyID, SealedKey: g.Ciphertext, Algorithm: opts.Algorithm, Nonce: make([]byte, nonceSize)}
	rand.Read(h.Nonce) // the data key seals this blob alone
	text, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	b := make([]byte, 0, prefixSize+len(text)+sealedSize(len(plaintext)))
	b = append(b, version)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	var c chunks
	if err := c.begin(h.Algorithm, g.Key.Bytes(), h.Nonce); err != nil {
		return nil, err
	}
	defer c.end()
	return c.seal(b, plaintext), nil
}

// Open returns the plaintext of a blob whose data key is bound to one of these
// associated data, which are tried in their order. It asks client for one
// Decrypt for each until one opens; without any, for one with none.
//
// Errors: *kms.Error of the client; kms.ErrNotAuthentic for another key, path
// or damage, of which *FormatError is what can be seen without a key;
// kms.ErrUnsupported for a newer version or an algorithm that is not known or
// refused in FIPS 140-3 mode; ErrTooLarge.
func Open(ctx context.Context, client *kms.Client, b []byte, ad ...kms.AssociatedData) ([]byte, error) {
	h, sealed, err := parse(b)
	if err != nil {
		return nil, err
	}
	if err := h.Algorithm.allowed(); err != nil {
		return nil, err
	}
	if len(ad) == 0 {
		ad = []kms.AssociatedData{nil}
	}
	var key kms.DataKey
	for _, a := range ad {
		if key, err = client.Decrypt(ctx, h.KeyID, h.SealedKey, a); !errors.Is(err, kms.ErrNotAuthentic) {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	defer key.Wipe()
	var c chunks
	if err := c.begin(h.Algorithm, key.Bytes(), h.Nonce); err != nil {
		return nil, err
	}
	defer c.end()
	return c.open(sealed)
}

// Algorithm is an AEAD by the name that a header gives it.
type Algorithm string

const (
	AES256GCM         Algorithm = "AES-256-GCM"
	ChaCha20Poly1305  Algorithm = "ChaCha20-Poly1305"
	XChaCha20Poly1305 Algorithm = "XChaCha20-Poly1305" // read only
)

func defaultAlgorithm() Algorithm {
	if cpu.Has(cpu.AES) || fips140.Enabled() {
		return AES256GCM
	}
	return ChaCha20Poly1305
}

// allowed refuses what Go's FIPS 140-3 mode has not, as package stream does.
// Under fips140=only it is everything: no caller may choose a nonce then, and
// reading also seals, an empty message.
func (a Algorithm) allowed() error {
	if fips140.Enforced() || fips140.Enabled() && a != AES256GCM {
		return fmt.Errorf("%w: %s in FIPS 140-3 mode", kms.ErrUnsupported, a)
	}
	return nil
}

func errAlgorithm(a Algorithm) error {
	return fmt.Errorf("%w: algorithm %s", kms.ErrUnsupported, kms.QuoteKeyID(string(a)))
}

const (
	version    = 1
	prefixSize = 5 // version and length of the header
	maxHeader  = 1 << 20
	nonceSize  = aead.NonceSize - counterSize
)

// Header is what a sealed blob says of itself without a key. None of it is
// authenticated before the blob opens.
type Header struct {
	KeyID     string    `json:"keyid"`  // name of the key that sealed the data key
	SealedKey []byte    `json:"kmskey"` // opaque to all but the key server
	Algorithm Algorithm `json:"algorithm"`
	Nonce     []byte    `json:"nonce"`
}

// Parse returns the header of a sealed blob. It fails with *FormatError or
// kms.ErrUnsupported.
func Parse(b []byte) (Header, error) {
	h, _, err := parse(b)
	return h, err
}

// parse reads a hostile blob and returns its header and its chunks.
func parse(b []byte) (Header, []byte, error) {
	switch {
	case len(b) < prefixSize:
		return Header{}, nil, &FormatError{"it ends within its prefix"}
	case b[0] != version:
		// A later version cannot be told from what is no blob at all.
		return Header{}, nil, &FormatError{"it does not begin with version 1"}
	}
	size := binary.LittleEndian.Uint32(b[1:prefixSize])
	rest := b[prefixSize:]
	switch {
	case size > maxHeader:
		return Header{}, nil, &FormatError{"its header is longer than 1 MiB"}
	case uint64(size) > uint64(len(rest)):
		return Header{}, nil, &FormatError{"it ends within its header"}
	}
	var h Header
	text, sealed := rest[:size], rest[size:]
	if len(text) == 0 || text[0] != '{' || json.Unmarshal(text, &h) != nil { // the decoder's own words may quote the text at any length
		return Header{}, nil, &FormatError{"its header is not the JSON object it should be"}
	}
	want := nonceSize
	switch h.Algorithm {
	case AES256GCM, ChaCha20Poly1305:
	case XChaCha20Poly1305:
		want = xNonceSize
	default: // AES-128-GCM among them: no data key has 16 bytes
		return Header{}, nil, errAlgorithm(h.Algorithm)
	}
	switch {
	case len(h.Nonce) != want:
		return Header{}, nil, &FormatError{"its nonce has another length than the algorithm's"}
	case len(sealed) < aead.TagSize:
		return Header{}, nil, &FormatError{"it ends within its first chunk"}
	}
	return h, sealed, nil
}
