package stream

import "sync"

// A hidden holds a secret of a stream, in memory that comes from a pool. Whoever
// takes one gives it back once, wiped; a stream that is dropped halfway leaves it to
// the collector. The zero hidden is none.
//
// It is behind two pointers because package fmt, given a verb that does not fit a
// pointer (%s, %q, %c …), follows one and prints what it finds.
type hidden[T any] struct{ p **memory[T] }

type memory[T any] struct {
	self  *memory[T]
	value T
}

// get returns what h holds.
func (h hidden[T]) get() *T { return &(*h.p).value }

func (h hidden[T]) isNone() bool { return h.p == nil }

// pool has the memory of hidden ones.
type pool[T any] struct{ sync.Pool }

func (p *pool[T]) take() hidden[T] {
	m, _ := p.Get().(*memory[T])
	if m == nil {
		m = new(memory[T])
		m.self = m
	}
	return hidden[T]{&m.self}
}

func (p *pool[T]) give(h hidden[T]) { p.Put(*h.p) }
