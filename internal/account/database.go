package account

import (
	"embed"
	"io/fs"

	"github.com/slideatlas/ptiffstore/internal/db"
)

//go:embed migrations
var migrations embed.FS

// UserTable is the table of users.
const UserTable = "users"

func tables() db.Migrations {
	dir, _ := fs.Sub(migrations, "migrations") // the path is valid
	return db.Migrations{Of: "users", Table: "account_migrations", Files: dir}
}

// Ledger is the table that records the migrations of this package.
func Ledger() db.Ledger { return tables().Ledger() }
