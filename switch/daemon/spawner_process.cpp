// SPDX-License-Identifier: MIT
#include "switch/daemon/spawner_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "switch/base/sandbox.h"
#include "switch/base/text.h"
#include "switch/base/unix_socket.h"
#include "switch/daemon/keeper_message.h"
#include "switch/host/overlap.h"
#include "switch/network/config_file.h"
#include "switch/runtime/tap_device.h"

namespace lanyard {
namespace {

using Kind = SpawnerRequest::Kind;

constexpr int kBacklog = 128;
constexpr std::size_t kNamesMax = 4096;
constexpr std::int64_t kBusyPollMax_us = 1'000'000;

// What goes right with a TAP is the daemon's to say.
class Troubles final : public Log {
 public:
  explicit Troubles(Log& next) : next_(next) {}
  void write(LogLevel level, std::string_view line) override {
    if (level <= LogLevel::notice) next_.write(level, line);
  }

 private:
  Log& next_;
};

Result<SpawnerAnswer> as_answer(const Result<void>& done) {
  if (!done) return done.error();
  return SpawnerAnswer{};
}

}  // namespace

std::vector<std::string> SpawnerSettings::arguments() const {
  return {kSpawnerName, gateway.path, std::to_string(gateway.busy_poll_us), state_directory};
}

std::optional<SpawnerSettings> SpawnerSettings::parse(int argc, char* const argv[]) {
  if (argc != 4) return std::nullopt;
  const auto busy_poll_us = parse_integer(argv[2]);
  if (!busy_poll_us || *busy_poll_us < 0 || *busy_poll_us > kBusyPollMax_us) return std::nullopt;
  return SpawnerSettings{{argv[1], static_cast<std::uint32_t>(*busy_poll_us)}, argv[3]};
}

// One that does not arrive is lost: nobody else would print it.
void SpawnerProcess::Lines::write(LogLevel level, std::string_view line) {
  SpawnerMessage message;
  message.kind = SpawnerMessage::Kind::log;
  message.code = static_cast<std::int32_t>(level);
  message.text = line;
  (void)link_.send(message);
}

SpawnerProcess::SpawnerProcess(EventLoop& loop, UniqueFd link, const SpawnerSettings& settings)
    : loop_(loop),
      link_(std::move(link)),
      log_(link_),
      gateways_(loop, settings.gateway),
      hosts_(loop, log_, settings.state_directory),
      directories_(log_) {}

Result<void> SpawnerProcess::start() {
  Result<EventLoop::Watch> watch =
      loop_.watch(link_.fd(), EPOLLIN, [this](std::uint32_t) { on_readable(); });
  if (!watch) return watch.error();
  watch_ = watch.take();
  return {};
}

// The daemon waits for the answer, and frames wait for the daemon.
void SpawnerProcess::on_readable() {
  const std::optional<std::uint64_t> id = link_.next_id();
  if (loop_.run([this] { serve_next(); })) return;
  if (!id || !link_.refuse(*id)) loop_.stop();
}

void SpawnerProcess::serve_next() {
  const Result<std::optional<SpawnerLink::Asked>> asked = link_.next();
  if (!asked) return loop_.stop();
  if (asked.value()) answer(*asked.value());
}

void SpawnerProcess::answer(const SpawnerLink::Asked& asked) {
  if (!asked.request) {
    log_.error("the daemon has asked its spawner for what it may not have: {}",
               asked.request.error().text);
  }
  const Result<SpawnerAnswer> answer =
      asked.request ? perform(asked.request.value())
                    : Result<SpawnerAnswer>(Error{EPERM, asked.request.error().text});
  if (const Result<void> sent = link_.answer(asked.id, answer); !sent) loop_.stop();
}

Result<SpawnerAnswer> SpawnerProcess::perform(const SpawnerRequest& request) {
  switch (request.kind) {
    case Kind::clean_up: hosts_.clean_up(); return SpawnerAnswer{};
    case Kind::check_host: return as_answer(check_overlap(request.network));
    case Kind::claim_host: return as_answer(hosts_.claim(request.network));
    case Kind::set_up_host: return as_answer(hosts_.set_up(request.network));
    case Kind::resume_host: return as_answer(hosts_.resume(request.network));
    case Kind::close_host: hosts_.close(request.interface); return SpawnerAnswer{};
    case Kind::attach_tap: return attach(request);
    case Kind::start_gateway: return gateways_.start(request.network.name);
    case Kind::signal_gateway: return as_answer(gateways_.signal(request.pid, request.signal));
    case Kind::end_gateway: return as_answer(gateways_.end(request.pid, request.signal));
    case Kind::gateway_status: {
      const Result<int> status = gateways_.status(request.pid);
      if (!status) return status.error();
      return SpawnerAnswer{.value = status.value()};
    }
    case Kind::listen: return listen(request.path);
    case Kind::adopt_gateway:
    case Kind::adopt_name: return as_answer(adopt(request));
    case Kind::remove_name: remove_name(request.path); return SpawnerAnswer{};
    case Kind::read_configuration: return read_configuration(request.path);
    case Kind::allow_directories:
    case Kind::may_claim_directory:
    case Kind::claim_directory:
    case Kind::adopt_directory:
    case Kind::listen_in_directory:
    case Kind::clean_directory: return directories_.perform(request);
    case Kind::settle:
      settled_ = true;
      directories_.settle();
      return SpawnerAnswer{};
    case Kind::finish:
      finished_ = true;
      loop_.stop();
      return SpawnerAnswer{};
  }
  return Error{EINVAL, "nobody does that"};
}

Result<SpawnerAnswer> SpawnerProcess::attach(const SpawnerRequest& request) {
  Troubles log(log_);
  Result<AttachedTap> tap = attach_tap(request.interface, request.offload, log);
  if (!tap) return tap.error();
  SpawnerAnswer attached;
  attached.text = tap.value().name;
  const TapOffloads& offloads = tap.value().offloads;
  attached.value = (offloads.header ? 1 : 0) | (offloads.tcp ? 2 : 0) | (offloads.udp ? 4 : 0);
  attached.descriptors.push_back(std::move(tap.value().fd));
  return attached;
}

Result<SpawnerAnswer> SpawnerProcess::listen(const std::string& path) {
  if (names_.size() >= kNamesMax) return Error{EMFILE, "too many forwards begin at a path"};
  Result<UniqueFd> made = listen_unix(path, SocketAccess{}, kBacklog);
  if (!made) return made.error();
  names_.insert(path);
  SpawnerAnswer listening;
  listening.descriptors.push_back(made.take());
  return listening;
}

// Nothing of a file that is no configuration goes out, not even where it is none.
Result<SpawnerAnswer> SpawnerProcess::read_configuration(const std::string& path) const {
  const ConfigOutcome outcome = read_config_file(path);
  if (!outcome.problems.empty()) {
    return Error{EINVAL, fmt::format("it cannot be read, or is no configuration: 'lanyard check "
                                     "{}' says why",
                                     printable(path))};
  }
  Result<UniqueFd> text = seal_bytes(config_text(outcome.configuration));
  if (!text) return text.error();
  SpawnerAnswer answer;
  answer.descriptors.push_back(text.take());
  return answer;
}

Result<void> SpawnerProcess::adopt(const SpawnerRequest& request) {
  if (settled_) return Error{EPERM, "nothing is adopted any more"};
  if (request.kind == Kind::adopt_gateway) return gateways_.adopt(request.pid);
  names_.insert(request.path);
  return {};
}

void SpawnerProcess::remove_name(const std::string& path) {
  if (names_.erase(path) != 0) unlink_socket(path);
}

// Signals are the daemon's to hear, which ends us when it has done what they ask for.
std::optional<int> run_spawner(int argc, char* const argv[]) {
  const char* const text = ::getenv(kSpawnerLinkVariable);
  if (text == nullptr) return std::nullopt;
  const std::optional<std::int64_t> number = parse_integer(text);
  ::unsetenv(kSpawnerLinkVariable);
  const std::optional<SpawnerSettings> settings = SpawnerSettings::parse(argc, argv);
  if (!number || *number < 0 || !settings) return EXIT_FAILURE;
  const int descriptor = static_cast<int>(*number);
  if (::fcntl(descriptor, F_SETFD, FD_CLOEXEC) != 0) return EXIT_FAILURE;
  UniqueFd link(descriptor);
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGXFSZ}) {
    ::signal(signal, SIG_IGN);
  }
  ::prctl(PR_SET_NAME, kSpawnerName);
  // At once, so that nobody takes what it leaves for somebody's; the link's end says it, too.
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  (void)forbid_dumps();
  Result<std::unique_ptr<EventLoop>> loop = EventLoop::create();
  if (!loop) return EXIT_FAILURE;
  SpawnerProcess process(*loop.value(), std::move(link), *settings);
  if (!process.start()) return EXIT_FAILURE;
  while (!loop.value()->stopped()) loop.value()->run_once(false);
  // Without destructors: what there is belongs to the daemon's successor.
  if (!process.finished()) ::_exit(EXIT_SUCCESS);
  return EXIT_SUCCESS;
}

}  // namespace lanyard
