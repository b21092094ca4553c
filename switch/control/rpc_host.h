// SPDX-License-Identifier: MIT
//
// What the methods of JSON-RPC may ask of the daemon: its networks, and for each its value, its
// switch and its gateway. The daemon implements it; tests implement it without processes.
// Nothing here waits: what a gateway or a reload has to say comes later, to a callback. A callback
// may outlive the network it was about, so it looks that up again by name. Lane thread only.
#pragma once

#include <sys/types.h>

#include <cerrno>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/sandbox_status.h"
#include "switch/control/log_ring.h"
#include "switch/network/config_diff.h"
#include "switch/network/config_file.h"
#include "switch/network/json_rpc.h"
#include "switch/network/network_config.h"
#include "switch/runtime/lane.h"

namespace lanyard {

// Either a result or an error.
using GatewayReply = std::function<void(const RpcError* error, const Json& result)>;

struct GatewayState {
  bool wanted = false;   // the network has one
  bool serving = false;  // it is configured and answers
  pid_t pid = 0;
  std::uint32_t restarts = 0;
  std::string trouble;  // why it does not serve; may be empty
};

struct RpcPlugin {
  std::string name;
  std::string help;
  std::string file;
  std::string text;  // as the configuration has it
  std::vector<std::string> commands;
  std::vector<std::string> said;  // to it, from the beginning on, without what only shows
};

class RpcNetwork {
 public:
  virtual ~RpcNetwork() = default;

  virtual const NetworkConfig& config() const = 0;
  virtual Switch& bridge() = 0;
  virtual Lane& lane() = 0;

  virtual GatewayState gateway() const = 0;
  // Answered within two seconds, with `unreachable` when the gateway does not.
  virtual void ask_gateway(std::string_view method, const Json& params, GatewayReply reply) = 0;

  // As the DHCP server or the configuration knows them.
  virtual std::string guest_name(MacAddress mac) const = 0;
  virtual std::size_t lease_count() const = 0;

  // What is wrong with it, a sentence each.
  virtual std::vector<std::string> warnings() const = 0;

  // Changes at run time, which become part of the running configuration.
  virtual void forward_added(const ForwardConfig& forward) = 0;
  virtual void forward_deleted(std::string_view name) = 0;
  virtual Result<void> create_vlan(VlanId vlan) = 0;
  virtual Result<void> delete_vlan(VlanId vlan) = 0;
  // The operator has said in which VLAN the port is; the socket's own VLAN no longer counts.
  virtual void vlan_chosen(PortId port) = 0;

  virtual std::vector<RpcPlugin> plugins() const = 0;
  virtual Result<void> add_plugin(const std::string& text) = 0;
  virtual Result<void> delete_plugin(std::string_view name) = 0;
  // Runs a command of one; what it replies.
  virtual Result<std::string> tell_plugin(std::string_view line) = 0;
};

class RpcHost {
 public:
  using ReloadDone = std::function<void(const Result<std::vector<ConfigChange>>& changes)>;

  virtual ~RpcHost() = default;

  virtual std::vector<RpcNetwork*> networks() = 0;  // by name, ascending
  virtual RpcNetwork* find(std::string_view name) = 0;
  virtual Configuration running() const = 0;
  virtual const std::string& config_file() const = 0;  // empty: built-in defaults
  // A file that somebody names, which this process may have no right to read itself.
  virtual ConfigOutcome read_configuration_file(const std::string& file) {
    return read_config_file(file);
  }
  // All of it or nothing; an empty name is the running file.
  virtual void reload(const std::string& file, ReloadDone done) = 0;
  virtual void stop() = 0;
  // Puts a process of the program as it is now on disk in this one's place; told when it has, or
  // why it has not.
  virtual void upgrade(std::function<void(const Result<void>&)> done) {
    done(Error{ENOTSUP, "there is no keeper: the daemon was not started with --keeper"});
  }
  // Of this kernel; a confined process may not ask any more.
  virtual int landlock() const { return landlock_version(); }
  // The process that has the privileges; 0: there is none.
  virtual pid_t spawner() const { return 0; }
  // The process with the lives of those that come and go, and their descriptors.
  virtual pid_t lasting_process() const = 0;
  // Sentences, each a reason why this process began without a sandbox that it was to have.
  virtual std::vector<std::string> obstacles_to_sandbox() const { return {}; }
  // What was changed outlives this process, if anything does.
  virtual void commit() {}
  virtual LogRing& log() = 0;
  virtual EventLoop& loop() = 0;
  virtual Time started() const = 0;
};

}  // namespace lanyard
