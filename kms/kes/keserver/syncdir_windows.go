package keserver

import "os"

// syncDir: directories are not synced here.
func syncDir(*os.Root) error { return nil }
