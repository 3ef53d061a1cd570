package keserver

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/objseal/objseal/internal/secret"
	"github.com/objseal/objseal/kms"
)

// A KeyStore holds keys. It must be safe for concurrent use. Names it gets pass
// kms.ValidName.
type KeyStore interface {
	// Create stores a new key; kms.ErrKeyExists if there is one of that name.
	Create(ctx context.Context, name string, key Key) error
	// Get returns a key; kms.ErrKeyNotFound if there is none.
	Get(ctx context.Context, name string) (Key, error)
	// Delete removes a key; kms.ErrKeyNotFound if there is none.
	Delete(ctx context.Context, name string) error
	// List returns the sorted names that begin with prefix.
	List(ctx context.Context, prefix string) ([]string, error)
	// Status returns why the key store cannot be used just now.
	Status(ctx context.Context) error
}

// Key is a key of a KeyStore.
type Key struct {
	Secret    Secret
	HMAC      Secret // for the HMAC route; zero for keys from before 2024
	Algorithm string // "AES256" or "ChaCha20"
	CreatedAt time.Time
	CreatedBy string // identity
}

// Secret is the 32 bytes of a key. It never prints them.
type Secret struct{ secret.Key }

// NewSecret returns a Secret with a copy of b, which must have 32 bytes; else
// kms.ErrKeySize.
func NewSecret(b []byte) (Secret, error) {
	k, err := secret.New(b)
	if err != nil {
		return Secret{}, kms.ErrKeySize
	}
	return Secret{k}, nil
}

// Equal compares two secrets in constant time.
func (s Secret) Equal(other Secret) bool { return s.Key.Equal(other.Key) }

// Memory is a KeyStore that ends with the process.
type Memory struct {
	mu   sync.RWMutex
	keys map[string]Key
}

var _ KeyStore = (*Memory)(nil)

// NewMemory returns an empty Memory.
func NewMemory() *Memory { return &Memory{keys: make(map[string]Key)} }

// Create implements KeyStore.
func (m *Memory) Create(_ context.Context, name string, key Key) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, exists := m.keys[name]; exists {
		return kms.ErrKeyExists
	}
	m.keys[name] = key
	return nil
}

// Get implements KeyStore.
func (m *Memory) Get(_ context.Context, name string) (Key, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	key, ok := m.keys[name]
	if !ok {
		return Key{}, kms.ErrKeyNotFound
	}
	return key, nil
}

// Delete implements KeyStore.
func (m *Memory) Delete(_ context.Context, name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.keys[name]; !ok {
		return kms.ErrKeyNotFound
	}
	delete(m.keys, name)
	return nil
}

// List implements KeyStore.
func (m *Memory) List(_ context.Context, prefix string) ([]string, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.keys)), func(name string) bool {
		return !strings.HasPrefix(name, prefix)
	}), nil
}

// Status implements KeyStore: memory is always there.
func (m *Memory) Status(context.Context) error { return nil }
