package main

import (
	"fmt"
	"io"
	"os"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (*completionCmd) Help() string {
	return "Load the output in the startup file of the shell.\n\nExample:\n\n  ptiffstore completion bash > /etc/bash_completion.d/ptiffstore"
}

// Run prints the script.
func (c *completionCmd) Run(std streams) error {
	program, err := os.Executable()
	if err != nil {
		program = "ptiffstore"
	}
	_, err = io.WriteString(std.out, completionOf(c.Shell, program))
	return err
}

// completionOf returns the script that makes a shell ask the program for completions. That
// of zsh can be loaded, or be a file named _ptiffstore in a folder of its fpath.
func completionOf(shell, program string) string {
	script := map[string]string{
		"bash": "complete -C %[1]q ptiffstore\n",
		"zsh": `#compdef ptiffstore
_ptiffstore() {
    local line="${words[1,CURRENT]}"
    local -a found
    found=(${(f)"$(COMP_LINE="$line" COMP_POINT="${#line}" %[1]q)"})
    if (( $#found )); then
        compadd -a found
    else
        _files
    fi
}
if [[ "$funcstack[1]" = _ptiffstore ]]; then
    _ptiffstore "$@"
else
    compdef _ptiffstore ptiffstore
fi
`,
		"fish": `function __complete_ptiffstore
    set -lx COMP_LINE (commandline -cp)
    test -z (commandline -ct)
    and set COMP_LINE "$COMP_LINE "
    %[1]q
end
complete -f -c ptiffstore -a "(__complete_ptiffstore)"
`,
	}[shell]
	return fmt.Sprintf(script, program)
}
