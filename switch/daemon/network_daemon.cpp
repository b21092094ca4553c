// SPDX-License-Identifier: MIT
#include "switch/daemon/network_daemon.h"

#include <grp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "switch/base/own_identity.h"
#include "switch/base/version.h"
#include "switch/network/config_file.h"
#include "switch/network/paths.h"
#include "switch/runtime/time_slice.h"

namespace lanyard {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitSpawnerLost = 70;  // EX_SOFTWARE of sysexits.h
constexpr std::size_t kWishesMax = 256;

// Two descriptors a client and some for each network; the hard limit is ours to use.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

Result<gid_t> group_id(const std::string& name) {
  if (name.empty()) return kNoGroup;
  const group* const found = ::getgrnam(name.c_str());
  if (found == nullptr) {
    return Error{ENOENT, fmt::format("there is no group '{}': groupadd {}", printable(name),
                                     printable(name))};
  }
  return found->gr_gid;
}

std::string absolute(const std::string& path) {
  std::error_code ignored;
  return path.empty() ? path : std::filesystem::absolute(path, ignored).lexically_normal().string();
}

}  // namespace

NetworkDaemon::NetworkDaemon(NetworksOptions options, DaemonLog& log, KeptProcess& kept,
                             FramePool& pool, std::optional<HandoverState> before,
                             GivenSockets given)
    : options_(std::move(options)),
      log_(log),
      kept_(kept),
      before_(std::move(before)),
      given_(std::move(given)),
      pool_(pool) {
  log_.set_level(options_.log_level);
  backends_.given = &given_;
  options_.config_file = absolute(options_.config_file);
  // Whatever resolves a path from here on, the gateways too, resolves it to these.
  if (!options_.runtime_directory.empty()) {
    ::setenv("LANYARD_RUNTIME_DIR", absolute(options_.runtime_directory).c_str(), 1);
  }
  if (!options_.state_directory.empty()) {
    ::setenv("LANYARD_STATE_DIR", absolute(options_.state_directory).c_str(), 1);
  }
}

NetworkDaemon::~NetworkDaemon() {
  kept_.detach();
  reload_.reset();
  wishes_.clear();
  if (environment_ != nullptr) environment_->publish = [](std::string_view, Json) {};
  networks_.clear();
  server_.reset();
}

std::optional<int> NetworkDaemon::start() {
  raise_descriptor_limit();
  const Result<SandboxMode> mode = sandbox_mode_from_environment(default_sandbox_mode());
  if (!mode) {
    log_.error("{}", mode.error().text);
    return kExitFailure;
  }
  sandbox_mode_ = mode.value();
  Result<void> made = make_parts();
  if (made && before_) made = resume();
  if (!made) {
    log_.error("{}", made.error().text);
    return kExitFailure;
  }
  if (before_) return std::nullopt;
  return start_first();
}

Result<void> NetworkDaemon::make_parts() {
  Result<std::unique_ptr<EventLoop>> loop = EventLoop::create();
  if (!loop) return loop.error();
  loop_ = loop.take();
  reserve_.emplace(*loop_, log_);
  loop_->set_busy_poll(BusyPoll::of_microseconds(options_.busy_poll_us));
  loop_->moderate_wake_ups();
  if (const Result<void> asked = ask_for_short_slices(); !asked) {
    log_.write(LogLevel::debug, asked.error().text);
  }
  reload_timer_ = loop_->prepare([this] { next_reload(); });
  started_ = before_ ? before_->started : loop_->now();
  if (Result<void> started = start_spawner(); !started) return started;
  Result<RandomNumbers> random = RandomNumbers::open();
  if (!random) return random.error();
  random_.emplace(random.take());
  if (options_.control_path.empty()) options_.control_path = control_socket_path();
  server_ = std::make_unique<RpcServer>(*this);
  environment_.reset(new NetworkEnvironment{
      *loop_, lanes_, pool_, backends_, *spawner_, *random_, log_, state_directory(),
      [this](std::string_view kind, Json params) { server_->publish(kind, std::move(params)); },
      [this] { kept_.commit(); }, [this] { kept_.changed(); },
      [this](const NetworkConfig& wanted) -> Result<void> {
        if (confinement_ == nullptr) return {};
        Configuration alone;
        alone.networks.push_back(wanted);
        return confinement_->check(alone);
      }});
  backends_.before_open = [this] { kept_.settle_exclusive(); };
  KeptProcess::Callbacks callbacks;
  callbacks.state = [this](HandoverReason why) { return handover(why); };
  callbacks.resumed = [this] {
    for (const auto& [name, network] : networks_) network->call_gateway_back();
  };
  if (Result<void> attached = kept_.attach(*loop_, log_, std::move(callbacks)); !attached) {
    return attached;
  }
  return watch_signals();
}

// Without one nothing could be set up, but what runs goes on: under a keeper a successor has
// another.
Result<void> NetworkDaemon::start_spawner() {
  if (options_.gateway_program.empty()) options_.gateway_program = GatewayProcess::find_program();
  const SpawnerSettings settings{{options_.gateway_program, options_.busy_poll_us},
                                 state_directory()};
  Result<std::unique_ptr<Spawner>> spawner =
      Spawner::start(*loop_, log_, settings, options_.daemon);
  if (!spawner) return spawner.error();
  spawner_ = spawner.take();
  register_builtin_backends(
      backends_,
      [this](const std::string& name, bool offload, Log&) {
        return spawner_->attach_tap(name, offload);
      },
      spawner_.get());
  spawner_->lost = [this] {
    if (kept_.kept()) ::_exit(kExitSpawnerLost);
  };
  return {};
}

std::optional<int> NetworkDaemon::start_first() {
  const auto failed = [this](const Error& error) {
    log_.error("{}", error.text);
    return kExitFailure;
  };
  Result<Configuration> wanted = read_configuration(options_.config_file);
  if (!wanted) return failed(wanted.error());
  if (Result<void> made = make_directories(); !made) return failed(made.error());
  // First, so that a second daemon ends before it has touched anything.
  const std::string control = absolute(options_.control_path);
  Result<void> listening = server_->listen(control, given_.take(control));
  if (!listening) return failed(listening.error());
  if (!options_.pid_file.empty()) {
    Result<PidFile> file =
        PidFile::create(options_.pid_file, kept_.kept() ? kept_.keeper() : ::getpid());
    if (!file) return failed(file.error());
    pid_file_.emplace(file.take());
  }
  // What a predecessor that was killed has left on this host, also of networks we do not have.
  if (Result<void> cleaned = spawner_->clean_up(); !cleaned) return failed(cleaned.error());
  bool over = false;
  std::optional<Error> error;
  begin(wanted.take(), [&](const Result<std::vector<ConfigChange>>& changes) {
    over = true;
    if (!changes) error = changes.error();
  });
  while (!over && !loop_->stopped()) lanes_.turn(*loop_);
  if (!over) return kExitFailure;
  if (error) return failed(*error);
  given_.close_rest(log_);
  return std::nullopt;
}

// ---- a successor goes on ----

HandoverState NetworkDaemon::handover(HandoverReason why) {
  HandoverState state;
  state.writer = LANYARD_VERSION;
  state.sealed = why == HandoverReason::upgrade;
  state.started = started_;
  state.configuration = config_text(running());
  state.values["log_level"] = log_level_name(log_.level());
  if (pid_file_) state.values["pid_file"] = pid_file_->path();
  for (const auto& [name, network] : networks_) state.switches.push_back(network->handover(why));
  if (std::optional<HandoverPart> part = server_->handover(why)) {
    state.parts.push_back(std::move(*part));
  }
  return state;
}

// The configuration is what ran, not what the file says by now.
Result<void> NetworkDaemon::resume() {
  const HandoverState& before = *before_;
  ConfigOutcome outcome = parse_config(before.configuration, "what the process before ran");
  if (!outcome.problems.empty()) {
    return Error{EBADMSG, outcome.problems.front().message()};
  }
  const Configuration& wanted = outcome.configuration;
  const Result<RpcRoles> roles = roles_of(wanted);
  if (!roles) return roles.error();
  configuration_.control_group = wanted.control_group;
  configuration_.viewer_group = wanted.viewer_group;
  server_->set_roles(roles.value());
  const auto value = [&](std::string_view key) {
    const auto found = before.values.find(key);
    return found == before.values.end() ? std::string() : found->second;
  };
  if (const auto level = parse_log_level(value("log_level"))) log_.set_level(*level);
  if (const std::string path = value("pid_file"); !path.empty()) {
    pid_file_.emplace(PidFile::adopt(path, kept_.keeper()));
  }
  for (const HandoverPart& part : before.parts) {
    if (part.kind != "control") continue;
    if (Result<void> adopted = server_->adopt(part); !adopted) return adopted;
  }
  for (const NetworkConfig& config : wanted.networks) {
    const auto record =
        std::find_if(before.switches.begin(), before.switches.end(),
                     [&](const SwitchRecord& one) { return one.name == config.name; });
    if (record == before.switches.end()) {
      return Error{EBADMSG, fmt::format("nobody tells of network {}", config.name)};
    }
    auto network = std::make_unique<Network>(config, *environment_, &*record);
    network->resume(*record);
    networks_.emplace(config.name, std::move(network));
  }
  return {};
}

// Every network runs, and no guest has been heard yet.
Result<void> NetworkDaemon::confine() {
  auto confinement = std::make_unique<NetworksConfinement>(
      NetworksConfinement::Places{options_.config_file, absolute(options_.control_path),
                                  absolute(options_.pid_file), runtime_directory(),
                                  options_.busy_poll_us != 0},
      backends_);
  confinement->add(running());
  // What the next reload will want.
  const ConfigOutcome file = read_config_file(options_.config_file);
  if (file.problems.empty()) confinement->add(file.configuration);
  const bool filters = sandbox_mode_ == SandboxMode::refuse || sandbox_mode_ == SandboxMode::kill;
  if (sandbox_mode_ != SandboxMode::off) obstacles_to_sandbox_ = confinement->obstacles();
  // Who is not confined asks for nothing that it could not do itself.
  const bool is_free = !filters || !obstacles_to_sandbox_.empty() || landlock_ == 0;
  const auto allowed = is_free ? std::vector<std::string>{"/"} : confinement->socket_directories();
  for (const std::string& directory : allowed) spawner_->allow_directories(directory);
  spawner_->settle();
  for (const std::string& obstacle : obstacles_to_sandbox_) {
    log_.warning("this process is not confined: {}, and nobody can tell what that needs", obstacle);
  }
  if (sandbox_mode_ == SandboxMode::off || !obstacles_to_sandbox_.empty()) return {};
  return enter_sandbox(std::move(confinement));
}

Result<void> NetworkDaemon::enter_sandbox(std::unique_ptr<NetworksConfinement> confinement) {
  const Result<SandboxReport> report = lanyard::enter_sandbox(confinement->policy(), sandbox_mode_);
  if (!report) return report.error();
  log_.write(LogLevel::debug, report.value().text());
  if (sandbox_mode_ == SandboxMode::log) return {};
  for (const std::string& sentence : report.value().absent) log_.notice("sandbox: {}", sentence);
  confinement->restricts_paths = report.value().landlock > 0;
  confinement->may_claim = [this](const std::string& path) {
    return spawner_->may_claim_directory(path).ok();
  };
  confinement_ = std::move(confinement);
  return {};
}

int NetworkDaemon::run() {
  if (Result<void> confined = confine(); !confined) {
    log_.error("LANYARD_SANDBOX: {}", confined.error().text);
    return kExitFailure;
  }
  kept_.ready();
  if (!before_) log_.notice("ready");
  while (!loop_->stopped()) lanes_.turn(*loop_);
  kept_.ending();
  return 0;
}

Result<void> NetworkDaemon::make_directories() const {
  for (const auto& [path, mode] :
       {std::pair{runtime_directory(), 0755U}, {state_directory(), 0700U}}) {
    std::error_code error;
    if (!std::filesystem::create_directories(path, error) && !error) continue;
    if (error) {
      return Error{error.value(), fmt::format("cannot make {}: {}; give another place with "
                                              "--runtime-directory and --state-directory",
                                              path, error.message())};
    }
    std::filesystem::permissions(path, static_cast<std::filesystem::perms>(mode), error);
  }
  return {};
}

// What stands in another directory than the daemon's own file is the spawner's to read.
ConfigOutcome NetworkDaemon::read_configuration_file(const std::string& file) {
  if (confinement_ == nullptr || confinement_->reads(file)) return read_config_file(file);
  const Result<std::string> text = spawner_->read_configuration(file);
  if (text) return parse_config(text.value(), file);
  ConfigOutcome outcome;
  outcome.problems.push_back({file, 0, 0, text.error().text});
  return outcome;
}

Result<Configuration> NetworkDaemon::read_configuration(const std::string& file) {
  if (file.empty()) return default_configuration(own_user() == 0);
  ConfigOutcome outcome = read_configuration_file(file);
  if (outcome.problems.empty()) return std::move(outcome.configuration);
  std::string text;
  for (const ConfigProblem& problem : outcome.problems) {
    append(text, "{}{}:{}:{}: {}", text.empty() ? "" : "\n", problem.file, problem.line,
           problem.column, problem.text);
  }
  return Error{EINVAL, std::move(text)};
}

Result<RpcRoles> NetworkDaemon::roles_of(const Configuration& configuration) const {
  const Result<gid_t> control = group_id(configuration.control_group);
  if (!control) return control.error();
  const Result<gid_t> viewer = group_id(configuration.viewer_group);
  if (!viewer) return viewer.error();
  return RpcRoles{own_user(), control.value(), viewer.value()};
}

// ---- reload ----

void NetworkDaemon::reload(const std::string& file, ReloadDone done) {
  if (wishes_.size() >= kWishesMax) {
    return done(Error{EBUSY, fmt::format("{} reloads wait already", wishes_.size())});
  }
  wishes_.push_back({file, std::move(done), std::nullopt});
  reload_timer_.hurry();
}

// Frames wait for the end of a turn, so a reload takes many: to read the file, to check it, and
// each step of it (reload.h). One that finds no memory on its way is given up, and its end tells
// who waits.
void NetworkDaemon::next_reload() {
  if (reload_ != nullptr && !reload_->over()) return;
  reload_.reset();
  if (wishes_.empty()) return;
  reload_timer_.hurry();
  Wish wish = std::move(wishes_.front());
  wishes_.pop_front();
  if (wish.wanted) return begin(std::move(*wish.wanted), std::move(wish.done));
  Result<Configuration> wanted = read_configuration(wish.file);
  if (!wanted) return wish.done(wanted.error());
  wish.wanted = wanted.take();
  wishes_.push_front(std::move(wish));
}

void NetworkDaemon::begin(Configuration wanted, ReloadDone done) {
  const Result<RpcRoles> roles = roles_of(wanted);
  if (!roles) return done(roles.error());
  if (confinement_ != nullptr) {
    if (Result<void> fits = confinement_->check(wanted); !fits) return done(fits.error());
  }
  std::vector<NetworkConfig> networks = wanted.networks;
  Configuration groups;
  groups.control_group = wanted.control_group;
  groups.viewer_group = wanted.viewer_group;
  reload_ = std::make_shared<Reload>(
      networks_, *environment_, std::move(networks),
      [this, wanted = std::move(wanted), groups = std::move(groups), roles = roles.value(),
       before = running(), done = std::move(done)](const Result<void>& result) mutable {
        // Not now: it is the reload that is speaking.
        reload_timer_.hurry();
        if (!result) return done(result.error());
        configuration_ = std::move(groups);
        server_->set_roles(roles);
        const std::vector<ConfigChange> changes = diff(before, wanted);
        done(changes);
        if (!changes.empty()) server_->publish("config.changed", Json::object());
      });
  reload_->start();
}

std::vector<RpcNetwork*> NetworkDaemon::networks() {
  std::vector<RpcNetwork*> list;
  for (const auto& [name, network] : networks_) list.push_back(network.get());
  return list;
}

RpcNetwork* NetworkDaemon::find(std::string_view name) {
  const auto found = networks_.find(std::string(name));
  return found == networks_.end() ? nullptr : found->second.get();
}

Configuration NetworkDaemon::running() const {
  Configuration all = configuration_;
  for (const auto& [name, network] : networks_) all.networks.push_back(network->config());
  return all;
}

// ---- signals ----

Result<void> NetworkDaemon::watch_signals() {
  for (const int ignored : {SIGPIPE, SIGALRM, SIGUSR1, SIGUSR2, SIGXFSZ}) {
    ::signal(ignored, SIG_IGN);
  }
  sigset_t handled;
  ::sigemptyset(&handled);
  for (const int number : {SIGTERM, SIGINT, SIGHUP}) ::sigaddset(&handled, number);
  ::sigprocmask(SIG_BLOCK, &handled, nullptr);
  // Whatever whoever started us had it be: by this one a terminal's shell shall see us end.
  ::signal(SIGINT, SIG_DFL);
  signals_.reset(::signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) return Error{errno, fmt::format("signalfd: {}", std::strerror(errno))};
  Result<EventLoop::Watch> watch =
      loop_->watch(signals_.get(), EPOLLIN, [this](std::uint32_t) { on_signal(); });
  if (!watch) return watch.error();
  signal_watch_ = watch.take();
  return {};
}

void NetworkDaemon::on_signal() {
  signalfd_siginfo info{};
  while (::read(signals_.get(), &info, sizeof info) == sizeof info) {
    const int number = static_cast<int>(info.ssi_signo);
    if (number == SIGHUP) {
      for (const auto& [name, network] : networks_) network->on_hangup_signal();
      reload(options_.config_file, [this](const Result<std::vector<ConfigChange>>& changes) {
        if (!changes) return log_.error("reload: {}; nothing was changed", changes.error().text);
        log_.notice("reload: {} networks changed", changes.value().size());
      });
      continue;
    }
    log_.notice("signal {}: taking every network down", number);
    if (number == SIGINT) fatal_signal_ = number;
    loop_->stop();
  }
}

}  // namespace lanyard
