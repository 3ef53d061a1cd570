package drive

// geometry is how a part lies on drives (drive spec sections 5 and 6): it is cut
// to blocks, a block to M pieces of equal length, and the i-th pieces of all blocks, each
// behind its hash, are a shard file.
type geometry struct {
	data  int   // M
	block int64 // bytes of a block, but for the last one
	size  int64 // bytes of the part
}

func (g geometry) blocks() int64 { return ceil(g.size, g.block) }

// length is that of a block's data.
func (g geometry) length(block int64) int64 { return min(g.block, g.size-block*g.block) }

// piece is how long the pieces of a block are.
func (g geometry) piece(block int64) int64 { return ceil(g.length(block), int64(g.data)) }

// offset is where the frame of a block begins in a shard file. hash is 0 for files without hashes.
func (g geometry) offset(block, hash int64) int64 {
	return block * (ceil(g.block, int64(g.data)) + hash)
}

// file is how long a shard file is.
func (g geometry) file(hash int64) int64 {
	n := g.blocks()
	if n == 0 {
		return 0
	}
	return g.offset(n-1, hash) + g.piece(n-1) + hash
}

func ceil(a, b int64) int64 { return (a + b - 1) / b }
