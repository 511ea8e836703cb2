package main

import (
	"flag"
	"os"
	"strings"
	"testing"
)

// serverTests are the tests that run servers, workers or goroutines of commands in this
// process. The others only run a command or processes of their own, in which the race detector
// finds nothing; it makes them several times slower, and hides the memory of the processes that
// they measure.
var serverTests = "^Test(" + strings.Join(strings.Fields(`
	AdminLinkBehindProxy BackupAndRestore BackupBar BackupOfPostgreSQL ConnectionsPerAddress
	ConvertImage DataFolder DebugListen Doctor DoctorAsksCentralServer Figures KeyDroppedWhileServing
	ManagedBucket ManagedStoreReturns NewCatalogIsSaid OldTables OlderProgram PicturesBecomePyramids Pooler
	ProvisionedStore PythonClient Queues ReadOnlyDatabase Regions RestoreRefuses ServeArrival ServeBucket
	ServeFailsToPrepare ServeFolders ServeGuard ServeImages ServeInsecure ServeLog ServeOIDC ServeOverwritten
	ServeReplaced ServeRoutes ServeStates ServeStops ServeWithUsers SeveralHosts ShareCommands StoreMove SlowClients
	SlowClientsOfTileserver TilesDuringImport Tileserver TileserverGuard TileserverHalfRequest
	TileserverOfCentral TileserverOverwritten TileserverStops Traces UnixSockets UnsupportedTile
	UpgradeBeside UploadToken VerifyCommand WaitForCatalog
`), "|") + ")$"

// part is the part of the tests to run: "servers" or "others"; all if empty. The Makefile runs
// only the first with the race detector.
var part = os.Getenv("PTIFFSTORE_PART")

func selectPart() {
	switch part {
	case "servers":
		flag.Set("test.run", serverTests)
	case "others":
		flag.Set("test.skip", serverTests)
	}
}

// mustBeServerTest fails a test that would start a server outside of its part.
func mustBeServerTest(t *testing.T) {
	t.Helper()
	if part == "others" {
		t.Fatal("this test starts a server: add it to serverTests, so that it runs with the race detector")
	}
}
