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

// SetTryTimeout replaces that of the options, for calls from now on.
func (b *Backend) SetTryTimeout(d time.Duration) { b.tryTimeout, b.callTimeout = d, 3*d }

// WaitForProbes returns when no probe is under way.
func (b *Backend) WaitForProbes() {
	for _, e := range b.endpoints {
		for {
			e.mu.Lock()
			probing := e.probing
			e.mu.Unlock()
			if !probing {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

const PutOffTime = putOffTime

// DecryptPKCS8 is decryptPKCS8 with as many iterations as a fuzzer has time for.
func DecryptPKCS8(der, password []byte) ([]byte, error) { return decryptPKCS8(der, password, 10_000) }

// LookAtExpiry makes the Backend look at its certificate at that time.
func (b *Backend) LookAtExpiry(now time.Time) {
	b.expiry.next.Store(0)
	b.expiry.look(b.creds, now)
}
