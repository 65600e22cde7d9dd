// Probe tries what a caged program must not be able to do, and says how each attempt went.
//
// An attempt is "read:PATH" ("parent" in a path is the parent's pid), "write:PATH", "run:PATH" or "dial:HOST:PORT".
// Attempts are arguments, or stand in an argument --label-columns=ATTEMPT,ATTEMPT: a flag whose value a policy for
// kubectl's arguments lets through, so that the probe can be run in kubectl's place.
package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

const smuggler = "--label-columns="

func main() {
	for _, argument := range os.Args[1:] {
		value, found := strings.CutPrefix(argument, smuggler)
		if !found && strings.HasPrefix(argument, "-") {
			continue
		}
		for _, attempt := range strings.Split(value, ",") {
			if kind, target, ok := strings.Cut(attempt, ":"); ok {
				fmt.Printf("%s %s\n", attempt, try(kind, strings.ReplaceAll(target, "parent", strconv.Itoa(os.Getppid()))))
			}
		}
	}
	fmt.Printf("environment %q\n", os.Environ())
}

func try(kind, target string) string {
	var err error
	var got []byte
	switch kind {
	case "read":
		got, err = os.ReadFile(target)
	case "write":
		err = os.WriteFile(target, []byte("x"), 0o600)
	case "run":
		err = exec.Command(target).Run()
	case "dial":
		var connection net.Conn
		if connection, err = net.DialTimeout("tcp", target, 3*time.Second); err == nil {
			connection.Close()
		}
	default:
		return "unknown"
	}
	if err != nil {
		return "refused: " + err.Error()
	}
	return fmt.Sprintf("done: %d bytes", len(got))
}
