package s3

// HoldLess makes a Sink hold count chunks of that many bytes.
func (s *Sink) HoldLess(chunk int64, count int) { s.buffers = newBuffers(chunk, count) }
