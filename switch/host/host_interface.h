// SPDX-License-Identifier: MIT
//
// The host's own leg in a network: a TAP interface with an address, what VirtualBox calls
// vboxnet0. Two steps around the `tap` backend, which attaches to the interface or creates it:
//
//   claim()   refuses overlapping ranges and interfaces of others, clears away what a crashed
//             predecessor left, and makes the TAP beforehand when it shall have an owner;
//   set_up()  once it is attached: MTU, alias, addresses, up; no router advertisements accepted,
//             since whoever sends them here is a guest.
//
// The destructor undoes what set_up() did, in reverse; what was there before stays.
//
// What makes it hard: the interface may be the administrator's (a persistent TAP prepared for a
// user without rights), and then nothing may change that was already right, and no right may be
// asked for. And the process may die at any instant. So the TAP is not persistent unless it has an
// owner: it goes with its descriptor, addresses and all. What is left otherwise is written in the
// interface's alias, "lanyard network lab pid 4711: added 192.168.56.1/24 up", where `ip link`
// shows it to people and the next start reads what to undo.
// The thread that sets things up.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/log.h"
#include "switch/base/result.h"
#include "switch/host/netlink.h"
#include "switch/network/network_config.h"

namespace lanyard {

// What the alias of an interface of ours says.
struct InterfaceAlias {
  std::string network;
  long pid = 0;
  bool made = false;               // the interface itself, persistent
  std::vector<std::string> added;  // "192.168.56.1/24", "up", "mtu=1500" (the one before)

  std::string text() const;
  static std::optional<InterfaceAlias> parse(std::string_view text);
};

class HostInterface {
 public:
  // Before the TAP is attached. The network must have a `host`.
  static Result<std::unique_ptr<HostInterface>> claim(const NetworkConfig& network, Log& log);
  // Instead of claim(), for a TAP that a predecessor of this process attached and that still is.
  static Result<std::unique_ptr<HostInterface>> resume(const NetworkConfig& network, Log& log);
  ~HostInterface();
  HostInterface(const HostInterface&) = delete;
  HostInterface& operator=(const HostInterface&) = delete;

  // After the TAP was attached. What it did until it failed is undone by the destructor.
  Result<void> set_up();

  const std::string& name() const { return config_.name; }

  // At the start of a daemon: clears away the interfaces of ours that no process has attached.
  static void clean_up(Log& log);

  // Lines for the administrator that prepare the interface for a user without rights.
  static std::string preparation(const HostInterfaceConfig& config, std::string_view user);

 private:
  HostInterface(const NetworkConfig& network, Netlink netlink, Log& log);

  Result<void> look_at_what_is_there();
  Result<void> make_for_owner();
  Result<void> bring_mtu(const LinkInfo& link);
  Result<void> bring_addresses();
  Result<void> bring_address(const std::vector<AddressInfo>& there, const IpAddress& address,
                             unsigned length);
  Result<void> note(std::string done);
  Result<void> write_alias();
  Error explain(const Error& error, std::string_view what) const;

  HostInterfaceConfig config_;
  Netlink netlink_;
  Log& log_;
  InterfaceAlias alias_;
  int index_ = 0;
  bool prepared_ = false;   // was there before us
  bool has_alias_ = false;  // ours is written, or is about to be
};

}  // namespace lanyard
