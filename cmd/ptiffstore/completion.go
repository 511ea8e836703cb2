package main

import (
	"fmt"
	"os"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (*completionCmd) Help() string {
	return "Load the output in the startup file of the shell.\n\nExample:\n\n  ptiffstore completion bash > /etc/bash_completion.d/ptiffstore"
}

// Run prints the commands that make the shell ask this program for completions.
func (c *completionCmd) Run(std streams) error {
	program, err := os.Executable()
	if err != nil {
		program = "ptiffstore"
	}
	script := map[string]string{
		"bash": "complete -C %[1]q ptiffstore\n",
		"zsh":  "autoload -U +X bashcompinit && bashcompinit\ncomplete -C %[1]q ptiffstore\n",
		"fish": `function __complete_ptiffstore
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    %[1]q
end
complete -f -c ptiffstore -a "(__complete_ptiffstore)"
`,
	}[c.Shell]
	_, err = fmt.Fprintf(std.out, script, program)
	return err
}
