// SPDX-License-Identifier: MIT
//
// Where things are when nobody says otherwise: one place for root, one per user otherwise, each
// movable by an environment variable, so that a test or a second daemon keeps to itself.
// Reads the environment: any thread, as long as none changes it.
#pragma once

#include <string>

namespace lanyard {

// Sockets, gone after a restart of the machine: /run/lanyard for root, else
// $XDG_RUNTIME_DIR/lanyard or /tmp/lanyard-UID. LANYARD_RUNTIME_DIR moves it.
std::string runtime_directory();

// Leases, kept: /var/lib/lanyard for root, else $XDG_STATE_HOME/lanyard or
// ~/.local/state/lanyard. LANYARD_STATE_DIR moves it.
std::string state_directory();

// runtime_directory()/control, or LANYARD_CONTROL.
std::string control_socket_path();

// /etc/lanyard/lanyard.toml for root, else $XDG_CONFIG_HOME/lanyard/lanyard.toml or
// ~/.config/lanyard/lanyard.toml. LANYARD_CONFIG moves it.
std::string default_config_path();

}  // namespace lanyard
