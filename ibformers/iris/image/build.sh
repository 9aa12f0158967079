#!/usr/bin/env bash
# Run once, as the image is built: the namespace, the operations, the production, and the table iris.Review.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

iris start IRIS
iris merge IRIS "$here/merge.cpf"
# Else the portal, and irispython below, would ask for new passwords.
iris session IRIS -U %SYS <"$here/passwords.script"
iop --init
iop --migrate "$here/../production.py"
irispython "$here/install.py"
iris stop IRIS quietly
