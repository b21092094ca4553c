// SPDX-License-Identifier: MIT
//
// Forwards: from ports and socket names of the host to guests. The listening is libslirp's; what it
// is told, when it is told anew, and why something does not work are decided here.
//
// What makes it hard: a guest may be given by a name that nobody has yet, or that moves to another
// address with the next lease, so a forward exists without listening, and is aimed again when the
// guests change (open flows stay). A gateway that has come back with too little memory has its
// forwards as soon as there is enough. And "address already in use" helps nobody: the sentence says
// which of our forwards has the port, or which process.
// Gateway thread only.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backend/gateway/guest_directory.h"
#include "backend/gateway/nat.h"
#include "backend/gateway/nat_packet.h"
#include "switch/base/result.h"

struct sockaddr;

namespace lanyard {

// Where listeners are made: the engine, or what stands for it in tests.
class ForwardEngine {
 public:
  virtual ~ForwardEngine() = default;
  // 0 or an errno. `port` counts from the first of the range.
  virtual int listen(const ForwardConfig& forward, std::uint16_t port, const IpAddress& guest) = 0;
  virtual void unlisten(const ForwardConfig& forward, std::uint16_t port) = 0;
};

class Forwards {
 public:
  Forwards(ForwardEngine& engine, const GuestDirectory& directory)
      : engine_(engine), directory_(directory) {}
  ~Forwards() { close_all(); }
  Forwards(const Forwards&) = delete;
  Forwards& operator=(const Forwards&) = delete;

  void set_network(std::optional<Ipv4Prefix> subnet, std::optional<Ipv6Prefix> subnet6) {
    subnet_ = subnet;
    subnet6_ = subnet6;
  }

  // Fails without effect.
  Result<void> add(const ForwardConfig& config);
  // As add(), but a forward whose port cannot be had stays, with its problem: the configuration
  // wants it, and guests_changed() tries again.
  void add_wanted(const ForwardConfig& config);
  Result<void> remove(std::string_view name);
  // Makes the forwards of the configuration those of `wanted`; others (added later) stay.
  void reconfigure(const std::vector<ForwardConfig>& before,
                   const std::vector<ForwardConfig>& wanted);
  void guests_changed();
  // Some could not listen for a reason that passes, such as no memory, or were given up midway:
  // try_again() is to be called after a while.
  bool wants_retry() const;
  void try_again();
  // Nothing listens any more.
  void close_all();

  std::vector<ForwardStatus> status() const;
  // The forward by which a connection came that has this socket; "" when none.
  std::string name_of_socket(int fd) const;

 private:
  struct Entry {
    ForwardConfig config;
    std::optional<IpAddress> guest;  // listens for it
    std::string problem;
    bool is_due = false;  // to be opened, or aimed at another guest
  };

  Result<void> check(const ForwardConfig& config) const;
  Result<IpAddress> resolve(const ForwardConfig& config) const;
  Result<void> open(Entry& entry);
  void close(Entry& entry);
  Error cannot_listen(const ForwardConfig& config, std::uint16_t port, int code) const;

  ForwardEngine& engine_;
  const GuestDirectory& directory_;
  std::optional<Ipv4Prefix> subnet_;
  std::optional<Ipv6Prefix> subnet6_;
  std::map<std::string, Entry, std::less<>> entries_;
};

}  // namespace lanyard
