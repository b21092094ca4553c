// SPDX-License-Identifier: MIT
//
// What the daemon asks its spawner for, and what that answers: messages over a SOCK_SEQPACKET pair,
// a request of one fixed size, answers with one descriptor each at most.
//
// What makes it hard: whoever asks reads guests' frames and may have been taken over, and whoever
// answers has the privileges. So a request is a number and fields of fixed places, each of which is
// checked here as the configuration file's are: names by their pattern, prefixes by their length,
// paths whole. There is no command, no program and no rule of the packet filter in it; what is done
// for a request the spawner makes up itself (spawner_work.h). Both ends are of one build. Any
// thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/log.h"
#include "switch/base/result.h"
#include "switch/network/network_config.h"

namespace lanyard {

struct SpawnerRequest {
  enum class Kind : std::uint8_t {
    // ---- of the host ----
    clean_up = 1,  // what processes that are gone have left on it
    check_host,    // whether the ranges of `network` are free
    claim_host,    // before its TAP is attached (HostInterface::claim)
    set_up_host,   // afterwards: addresses, up, and routing if it is routed
    resume_host,   // instead of both, for what a predecessor has set up
    close_host,    // undoes what was done for the network of `interface`
    attach_tap,    // answers the descriptor
    // ---- of gateways ----
    start_gateway,   // for the network of this name; answers its process and our ends
    adopt_gateway,   // process `pid` is one that a predecessor has started
    signal_gateway,  // `signal` to process `pid`, a gateway
    end_gateway,     // the same, and it is seen to that it ends
    gateway_status,  // of one that has ended, as waitpid(2) has it
    // ---- of forwards ----
    listen,       // at `path`; answers the descriptor
    adopt_name,   // `path` is one that a predecessor listened at
    remove_name,  // of a socket that was made here
    // ---- of sockets' directories (socket_directory.h) ----
    allow_directories,    // they may be below `path`; only before settle
    may_claim_directory,  // whether one may be at `path`
    claim_directory,      // the one at `path`; answers its name, whether it is new, and the lock
    adopt_directory,      // a predecessor has claimed the one at `path`
    listen_in_directory,  // a socket at `path`, with `access`; answers the descriptor
    clean_directory,      // the one at `path`, as `remove` says
    // ---- of both processes ----
    read_configuration,  // of the file at `path`; answers its text as the daemon writes it
    settle,              // nothing is adopted from here on
    finish,              // undoes everything and ends
  };
  static constexpr auto kLast = Kind::finish;

  Kind kind = Kind::finish;
  std::uint64_t id = 0;
  // What the host and the packet filter have to know of it and nothing else: name, kind, subnets,
  // host interface and uplink.
  NetworkConfig network{};
  std::string interface {};
  bool offload = false;
  pid_t pid = 0;
  int signal = 0;
  std::string path{};
  // Of a socket and of the directory it is in.
  struct Access {
    std::uint32_t mode = 0;
    std::uint32_t directory_mode = 0;
    std::uint32_t group = 0;

    friend bool operator==(const Access&, const Access&) = default;
  };
  Access access{};
  bool remove = false;

  friend bool operator==(const SpawnerRequest&, const SpawnerRequest&) = default;
};

constexpr std::size_t kSpawnerRequestSize = 1280;

std::string encode_spawner_request(const SpawnerRequest& request);
// Only what may be asked for; EBADMSG otherwise.
Result<SpawnerRequest> decode_spawner_request(std::string_view bytes);

// One message of an answer, or a line for the daemon's log.
struct SpawnerMessage {
  enum class Kind : std::uint8_t { answer = 1, log };
  static constexpr std::size_t kTextMax = 8192;

  Kind kind = Kind::answer;
  std::uint64_t id = 0;        // of the request
  std::int32_t code = 0;       // an errno, or 0; the level of a line
  std::int64_t value = 0;      // as the request has it
  std::uint8_t following = 0;  // messages of this answer, for the descriptors they bring
  std::string text{};

  friend bool operator==(const SpawnerMessage&, const SpawnerMessage&) = default;
};

std::string encode_spawner_message(const SpawnerMessage& message);
// Makes it the answer to another request, without memory.
void readdress_spawner_message(std::string& bytes, std::uint64_t id);
Result<SpawnerMessage> decode_spawner_message(std::string_view bytes);

// An answer as a whole.
struct SpawnerAnswer {
  static constexpr std::size_t kDescriptorsMax = 8;

  std::int64_t value = 0;
  std::string text{};
  std::vector<UniqueFd> descriptors{};
};

}  // namespace lanyard
