package kms

import (
	"context"
	"time"
)

// A Backend holds keys, or talks to something that does. kms/kmstest has the
// suite that every Backend passes.
//
// Errors wrap the sentinels of errors.go where the backend has the evidence;
// the Client adds operation and key id. A Backend checks a key id by itself
// before it becomes part of a path or URL (see [ValidName]): metadata can hold
// any string. It must be safe for concurrent use.
type Backend interface {
	// GenerateKey returns a new random data key sealed under keyID and bound
	// to ad. An empty keyID means the backend's default key.
	GenerateKey(ctx context.Context, keyID string, ad AssociatedData) (GeneratedKey, error)

	// Decrypt opens what GenerateKey sealed. The ciphertext is hostile.
	Decrypt(ctx context.Context, keyID string, ciphertext []byte, ad AssociatedData) (DataKey, error)

	// Status reports whether the backend can be used just now.
	Status(ctx context.Context) (Status, error)
}

// A Manager is a Backend whose keys can be made and looked at.
type Manager interface {
	CreateKey(ctx context.Context, keyID string) error
	DescribeKey(ctx context.Context, keyID string) (KeyInfo, error)
	// ListKeys returns the sorted names that start with prefix; empty means all.
	ListKeys(ctx context.Context, prefix string) ([]string, error)
}

// An Encrypter is a Backend that seals bytes it did not make.
type Encrypter interface {
	Encrypt(ctx context.Context, keyID string, plaintext []byte, ad AssociatedData) ([]byte, error)
}

// An Importer is a Backend that takes keys from elsewhere.
type Importer interface {
	// ImportKey stores key, of 32 bytes, under a new name. The algorithm is
	// "AES256" or "ChaCha20"; empty means AES256.
	ImportKey(ctx context.Context, keyID string, key []byte, algorithm string) error
}

// A Deleter is a Backend whose keys can be removed, for good.
type Deleter interface {
	DeleteKey(ctx context.Context, keyID string) error
}

// KeyInfo is what a backend tells of a key. Fields that it does not know are
// zero.
type KeyInfo struct {
	Name      string
	Algorithm string // "AES256" or "ChaCha20" (KES spec section 1.3)
	CreatedAt time.Time
	CreatedBy string // identity of the creator
}

// Status is a backend's state.
type Status struct {
	Backend             string // "kes", "static", …
	Version             string
	Uptime              time.Duration
	KeyStoreLatency     time.Duration
	KeyStoreUnreachable bool // the server answers, its key store does not
	Endpoints           []Endpoint

	// Who the client is to the key server, and until when its certificate is
	// good; zero if there is no such thing.
	Identity string
	NotAfter time.Time
	Warning  error // of what will fail soon, such as that certificate; nil if nothing
}

// Endpoint is one server of a backend that has several.
type Endpoint struct {
	Address string
	Version string
	Latency time.Duration
	Err     error // why this one cannot be used, nil if it can

	KeyStoreUnreachable bool // it answers, its key store does not
}
