// SPDX-License-Identifier: MIT
#include "switch/host/forwarding.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <vector>

#include "switch/base/fd.h"
#include "switch/base/text.h"
#include "switch/host/process.h"
#include "switch/host/sysctl.h"
#include "switch/network/json_rpc.h"

namespace lanyard {
namespace {

constexpr const char* kIpv4All = "net/ipv4/ip_forward";
constexpr const char* kIpv6All = "net/ipv6/conf/all/forwarding";

struct Holder {
  std::string network;
  ProcessId process;
  friend bool operator==(const Holder&, const Holder&) = default;
};

// A setting below /proc/sys that was changed, in the order in which they are put back.
struct Change {
  std::string name;
  std::string before;
  std::string set;
};

struct State {
  std::vector<Holder> holders;
  std::vector<Change> changes;
};

// The state file of this boot and this network namespace, locked as long as it lives.
class StateFile {
 public:
  static Result<StateFile> open(const ForwardingPlace& place) {
    std::error_code failure;
    std::filesystem::create_directories(place.state_directory, failure);
    StateFile file;
    file.boot_ = read_setting(place.proc + "/sys/kernel/random/boot_id").value_or("");
    struct stat space {};
    if (::stat((place.proc + "/self/ns/net").c_str(), &space) != 0) space.st_ino = 0;
    file.path_ = fmt::format("{}/forwarding-{}.json", place.state_directory, space.st_ino);
    const std::string lock = file.path_ + ".lock";
    file.lock_ = UniqueFd(::open(lock.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!file.lock_ || ::flock(file.lock_.get(), LOCK_EX) != 0) {
      const int code = errno;
      return Error{code, fmt::format("{}: {}", lock, std::strerror(code))};
    }
    return file;
  }

  // Without holders that are gone. Nothing when the file is of another boot or damaged.
  State read(const std::string& proc) const {
    State state;
    const auto text = read_setting(path_);
    if (!text) return state;
    const Result<Json> json = parse_json(*text);
    if (!json || !json.value().is_object()) return state;
    try {
      const Json& file = json.value();
      if (file.at("boot").get<std::string>() != boot_) return state;
      for (const Json& entry : file.at("changes")) {
        state.changes.push_back({entry.at("name").get<std::string>(),
                                 entry.at("before").get<std::string>(),
                                 entry.at("set").get<std::string>()});
      }
      for (const Json& entry : file.at("holders")) {
        const Holder holder{
            entry.at("network").get<std::string>(),
            {entry.at("pid").get<long>(), entry.at("started").get<std::uint64_t>()}};
        if (holder.process.is_alive(proc)) state.holders.push_back(holder);
      }
    } catch (const Json::exception&) {
      return {};
    }
    return state;
  }

  // Whole or not at all, whatever happens meanwhile.
  Result<void> write(const State& state) const {
    if (state.holders.empty() && state.changes.empty()) {
      ::unlink(path_.c_str());
      return {};
    }
    Json file = {{"boot", boot_}, {"changes", Json::array()}, {"holders", Json::array()}};
    for (const Change& change : state.changes) {
      file["changes"].push_back(
          {{"name", change.name}, {"before", change.before}, {"set", change.set}});
    }
    for (const Holder& holder : state.holders) {
      file["holders"].push_back({{"network", holder.network},
                                 {"pid", holder.process.pid},
                                 {"started", holder.process.started}});
    }
    const std::string text = file.dump() + "\n";
    const std::string beside = path_ + ".new";
    UniqueFd out(::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
    if (out && ::write(out.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
        ::fsync(out.get()) == 0 && ::rename(beside.c_str(), path_.c_str()) == 0) {
      return {};
    }
    const int code = errno;
    return Error{code, fmt::format("{}: {}", path_, std::strerror(code))};
  }

 private:
  std::string path_;
  std::string boot_;
  UniqueFd lock_;
};

class Sysctls {
 public:
  explicit Sysctls(const std::string& proc) : root_(proc + "/sys/") {}

  std::optional<std::string> read(const std::string& name) const {
    return read_setting(root_ + name);
  }
  Result<void> write(const std::string& name, std::string_view value) const {
    return write_setting(root_ + name, value);
  }
  // Those of single interfaces, "net/ipv6/conf/eth0/accept_ra", that are `value` now.
  std::vector<std::string> interfaces_with(const std::string& family, const std::string& setting,
                                           std::string_view value) const {
    std::vector<std::string> names;
    const std::string directory = fmt::format("net/{}/conf", family);
    std::error_code failure;
    for (const auto& entry : std::filesystem::directory_iterator(root_ + directory, failure)) {
      const std::string interface = entry.path().filename().string();
      if (interface == "all") continue;
      std::string name = fmt::format("{}/{}/{}", directory, interface, setting);
      if (read(name) == value) names.push_back(std::move(name));
    }
    return names;
  }

 private:
  std::string root_;
};

// The one for all interfaces, and those of single interfaces that were on already: writing the
// former writes the latter.
void note_forwarding(const Sysctls& sysctls, const char* all, const std::string& family,
                     std::vector<Change>& changes) {
  changes.push_back({all, "0", "1"});
  for (const std::string& name : sysctls.interfaces_with(family, "forwarding", "1")) {
    changes.push_back({name, "1", "1"});
  }
}

std::vector<Change> changes_for(const Sysctls& sysctls, bool ipv6) {
  std::vector<Change> changes;
  if (sysctls.read(kIpv4All) == "0") note_forwarding(sysctls, kIpv4All, "ipv4", changes);
  if (ipv6 && sysctls.read(kIpv6All) == "0") {
    note_forwarding(sysctls, kIpv6All, "ipv6", changes);
    for (const std::string& name : sysctls.interfaces_with("ipv6", "accept_ra", "1")) {
      changes.push_back({name, "1", "2"});
    }
  }
  return changes;
}

// In reverse: advertisements are accepted in spite of forwarding before there is any.
Result<void> apply(const Sysctls& sysctls, const std::vector<Change>& changes) {
  for (auto change = changes.rbegin(); change != changes.rend(); ++change) {
    Result<void> done = sysctls.write(change->name, change->set);
    const bool needed = change->name == kIpv4All || change->name == kIpv6All;
    if (!done && needed) return done;
  }
  return {};
}

// What somebody else has changed since stays as it is.
void put_back(const Sysctls& sysctls, const std::vector<Change>& changes, Log& log) {
  bool ours = true;
  for (const Change& change : changes) {
    const bool for_all = change.name == kIpv4All || change.name == kIpv6All;
    const bool single = change.before == change.set;  // written along with the one for all
    if (!single) ours = sysctls.read(change.name) == change.set;
    if (!ours) continue;
    const Result<void> done = sysctls.write(change.name, change.before);
    if (!done && for_all) log.warning("{}", done.error().text);
    if (done && for_all) log.info("{} is {} again", change.name, change.before);
  }
}

void release_if_last(const Sysctls& sysctls, State& state, Log& log) {
  if (!state.holders.empty()) return;
  put_back(sysctls, state.changes, log);
  state.changes.clear();
}

}  // namespace

Forwarding::Forwarding(ForwardingPlace place, std::string network, Log& log)
    : place_(std::move(place)), network_(std::move(network)), log_(log) {}

Result<std::unique_ptr<Forwarding>> Forwarding::acquire(ForwardingPlace place,
                                                        const std::string& network, bool ipv6,
                                                        Log& log) {
  const Result<StateFile> file = StateFile::open(place);
  if (!file) return file.error();
  const Sysctls sysctls(place.proc);
  State state = file.value().read(place.proc);
  const std::vector<Change> changes = changes_for(sysctls, ipv6);
  state.changes.insert(state.changes.end(), changes.begin(), changes.end());
  state.holders.push_back({network, ProcessId::own(place.proc)});
  if (Result<void> written = file.value().write(state); !written) return written.error();
  if (const Result<void> done = apply(sysctls, changes); !done) {
    state.holders.pop_back();
    release_if_last(sysctls, state, log);
    static_cast<void>(file.value().write(state));
    return Error{done.error().code,
                 fmt::format("network {}: {}. It needs CAP_NET_ADMIN and a /proc/sys that can be "
                             "written",
                             network, done.error().text)};
  }
  return std::unique_ptr<Forwarding>(new Forwarding(std::move(place), network, log));
}

Forwarding::~Forwarding() {
  const Result<StateFile> file = StateFile::open(place_);
  if (!file) {
    log_.warning("forwarding stays as it is: {}", file.error().text);
    return;
  }
  State state = file.value().read(place_.proc);
  const Holder own{network_, ProcessId::own(place_.proc)};
  const auto at = std::find(state.holders.begin(), state.holders.end(), own);
  if (at != state.holders.end()) state.holders.erase(at);
  release_if_last(Sysctls(place_.proc), state, log_);
  if (const Result<void> done = file.value().write(state); !done) {
    log_.warning("{}", done.error().text);
  }
}

void Forwarding::clean_up(const ForwardingPlace& place, Log& log) {
  const Result<StateFile> file = StateFile::open(place);
  if (!file) return;
  State state = file.value().read(place.proc);
  release_if_last(Sysctls(place.proc), state, log);
  static_cast<void>(file.value().write(state));
}

}  // namespace lanyard
