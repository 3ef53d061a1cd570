package kes

import "time"

// SetPause replaces the pause between two rounds of tries.
func (b *Backend) SetPause(pause func() time.Duration) { b.pause = pause }

// Elapse makes put off servers believe that time has gone by.
func (b *Backend) Elapse(d time.Duration) {
	for _, e := range b.endpoints {
		e.mu.Lock()
		if !e.until.IsZero() {
			e.until = e.until.Add(-d)
		}
		e.mu.Unlock()
	}
}

// Endpoints returns the servers in the order in which they are asked.
func (b *Backend) Endpoints() (urls []string) {
	for _, e := range b.endpoints {
		urls = append(urls, e.base)
	}
	return urls
}

const PutOffTime = putOffTime
