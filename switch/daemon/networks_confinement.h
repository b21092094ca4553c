// SPDX-License-Identifier: MIT
//
// The sandbox of the daemon of networks: what it still may do once every network runs, while
// guests' frames, the control socket and the gateways' words reach it. What needs a privilege its
// spawner does.
//
// What makes it hard: a reload can ask for anything that a configuration can say, and paths cannot
// be given back. So directories in which sockets are stay open for sockets, whichever the spawner
// makes there; a configuration that names others is refused with a sentence, and a successor
// process (lanyard upgrade) is confined to what the file says by then. Plugs that are libraries and
// threads of others (pcap://, record://, replay://, plug:// with what only libvdeplug knows) need
// what no list of calls can tell, and so do plugins: with one of them there is no sandbox, and that
// is said.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "switch/base/sandbox.h"
#include "switch/network/network_config.h"
#include "switch/runtime/backend.h"

namespace lanyard {

class NetworksConfinement {
 public:
  // What it is besides its networks that the daemon touches.
  struct Places {
    std::string config_file{};
    std::string control_path{};
    std::string pid_file{};
    std::string runtime_directory{};
    bool busy_poll = false;
  };

  NetworksConfinement(Places places, const BackendRegistry& backends)
      : places_(std::move(places)), backends_(backends) {}

  // One that may come to run, too.
  void add(const Configuration& configuration);

  // Else only calls are.
  bool restricts_paths = true;
  // Whether sockets may have a directory at this path: asked of who makes it.
  std::function<bool(const std::string& path)> may_claim = [](const std::string&) { return true; };

  // Sentences, each a reason why there can be no sandbox.
  const std::vector<std::string>& obstacles() const { return obstacles_; }
  SandboxPolicy policy() const;
  // In which, or below which, sockets' directories may be from here on.
  std::vector<std::string> socket_directories() const;
  // Whether this process may read a file of configuration there.
  bool reads(const std::string& file) const;
  // Whether a process in this sandbox can run it.
  Result<void> check(const Configuration& wanted) const;

 private:
  std::optional<std::string> directory_of_plug(const BackendOptions& plug) const;
  std::vector<AllowedPath> paths() const;

  Places places_;
  const BackendRegistry& backends_;
  std::vector<std::string> socket_directories_;  // in which sockets' directories are
  std::vector<std::string> plug_directories_;    // of other switches
  std::vector<std::string> resolver_files_;
  std::vector<std::string> obstacles_;
};

}  // namespace lanyard
