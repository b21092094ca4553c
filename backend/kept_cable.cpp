// SPDX-License-Identifier: MIT
#include "backend/kept_cable.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <random>

#include "backend/backoff.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

// A cable that held for so long is not one that comes and goes.
constexpr Duration kSteady = std::chrono::seconds(5);

double seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}

class KeptCable final : public Service {
 public:
  KeptCable(KeptCableSettings settings, Patchbay& patchbay)
      : settings_(std::move(settings)), patchbay_(patchbay), backoff_(std::random_device{}()) {}
  ~KeptCable() override {
    if (plug_ != nullptr) patchbay_.unplug(*plug_);
    release_port();
  }

  Result<void> start() {
    Result<PortId> port = patchbay_.reserve(request());
    if (!port) return port.error();
    settings_.port = port.value();
    hold_port();
    gone_since_ = patchbay_.loop().now();
    attempt();
    return {};
  }

  std::optional<HandoverPart> handover(HandoverReason) const override {
    if (finished_ || settings_.url.empty()) return std::nullopt;
    HandoverPart part;
    part.kind = settings_.url.substr(0, settings_.url.find(':'));
    part.set("url",
             fmt::format("{}?port={}{}", settings_.url, *settings_.port, settings_.url_options));
    // Else it would be kept in the successor by nobody, for ever.
    if (holds_ && !was_held_) part.set("held_port", *settings_.port);
    return part;
  }

 private:
  const std::string& name() const { return settings_.name; }
  PlugRequest request() const {
    PlugRequest request;
    request.port = settings_.port;
    request.traits.module = settings_.module;
    request.traits.description = name();
    return request;
  }

  void hold_port() {
    if (holds_) return;
    was_held_ = patchbay_.hold(*settings_.port, true);
    holds_ = true;
  }
  void release_port() {
    if (holds_ && !was_held_) patchbay_.hold(*settings_.port, false);
    holds_ = false;
  }

  // An attempt is destroyed by the next one, never in its own callback.
  void attempt() {
    attempt_.reset();
    attempt_ = settings_.begin([this](Result<MadeCable> made) {
      if (!made) return on_failed(made.error());
      if (Result<void> plugged = plug_in(made.take()); !plugged) on_failed(plugged.error());
    });
  }

  Result<void> plug_in(MadeCable made) {
    PlugRequest request = this->request();
    request.traits.id = made.id;
    Result<PortId> port = patchbay_.reserve(request);
    if (!port) return port.error();
    EventLoop::Watch watch;
    if (made.control) {
      Result<EventLoop::Watch> made_watch = patchbay_.loop().watch(
          made.control.get(), EPOLLIN, [this](std::uint32_t) { on_control(); });
      if (!made_watch) return made_watch.error();
      watch = made_watch.take();
    }
    Result<Plug*> plug =
        patchbay_.plug(port.value(), std::move(made.endpoint), std::move(request.traits),
                       [this](UnplugReason why) { on_unplugged(why); });
    if (!plug) return plug.error();
    plug_ = plug.value();
    control_ = std::move(made.control);
    control_watch_ = std::move(watch);
    release_port();
    report_success();
    return {};
  }

  void report_success() {
    const Time now = patchbay_.loop().now();
    if (failing_) {
      patchbay_.log().notice("port {}: plugged into {} after {:.1f} s", *settings_.port,
                             printable(name()), seconds(now - gone_since_));
    } else {
      patchbay_.log().info("port {}: plugged into {}", *settings_.port, printable(name()));
    }
    failing_ = false;
    failure_.clear();
    plugged_since_ = now;
  }

  // Whoever is at the other end has nothing to say here, but that it is gone, or in a line, why.
  void on_control() {
    if (hear()) return;
    patchbay_.unplug(*plug_);
    on_lost();
  }

  // False once it is gone.
  bool hear() {
    std::array<char, 512> word{};
    const ssize_t count = ::recv(control_.get(), word.data(), word.size() - 1, MSG_DONTWAIT);
    if (count > 0 && settings_.says_why) last_word_ = word.data();
    return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
  }

  void on_unplugged(UnplugReason why) {
    if (why == UnplugReason::peer_left) return on_lost();
    drop_cable();
    finish({ECANCELED, "unplugged"});
  }

  void drop_cable() {
    plug_ = nullptr;
    control_watch_.reset();
    control_.reset();
  }

  void on_lost() {
    // Its frames' socket may have shown the end before the word on it was read.
    if (settings_.says_why && last_word_.empty()) hear();
    drop_cable();
    if (settings_.reconnects) hold_port();
    gone_since_ = patchbay_.loop().now();
    if (gone_since_ - plugged_since_ >= kSteady) backoff_.reset();
    if (!last_word_.empty()) return on_failed({EIO, last_word_});
    on_failed({ECONNRESET, settings_.says_why ? "it is at its end" : "the other end is gone"});
  }

  // Says so once, and again when the reason is another one.
  void on_failed(const Error& why) {
    if (!settings_.reconnects) {
      // The end of what has been there is no fault, unless it says so.
      const bool ended_well = plugged_since_.count() != 0 && last_word_.empty();
      const LogLevel level = ended_well ? LogLevel::notice : LogLevel::warning;
      patchbay_.log().write(
          level, fmt::format("port {}: {}: {}", *settings_.port, printable(name()), why.text));
      return finish(why);
    }
    if (why.text != failure_) {
      patchbay_.log().warning("port {}: {}: {}; it will be plugged in as soon as it can be",
                              *settings_.port, printable(name()), why.text);
    }
    failing_ = true;
    failure_ = why.text;
    retry_ = patchbay_.loop().after(backoff_.next(), [this] { attempt(); });
  }

  void finish(const Error& why) {
    finished_ = true;
    release_port();
    retry_.reset();
    if (settings_.ended) settings_.ended(why);
  }

  KeptCableSettings settings_;
  Patchbay& patchbay_;
  Backoff backoff_;
  std::unique_ptr<CableAttempt> attempt_;
  Plug* plug_ = nullptr;
  UniqueFd control_;
  EventLoop::Watch control_watch_;
  EventLoop::Timer retry_;
  bool holds_ = false;
  bool was_held_ = false;
  bool failing_ = false;
  bool finished_ = false;
  std::string failure_;
  std::string last_word_;
  Time gone_since_{0};
  Time plugged_since_{0};
};

}  // namespace

Result<void> keep_cable(KeptCableSettings settings, Patchbay& patchbay) {
  auto cable = std::make_unique<KeptCable>(std::move(settings), patchbay);
  if (Result<void> started = cable->start(); !started) return started;
  patchbay.keep(std::move(cable));
  return {};
}

Result<std::optional<std::int64_t>> read_number_option(const BackendOptions& options,
                                                       std::string_view key, std::int64_t least,
                                                       std::int64_t most) {
  const std::string* const text = options.find(key);
  if (text == nullptr) return std::optional<std::int64_t>();
  const auto number = parse_integer(*text);
  if (!number || *number < least || *number > most) {
    return Error{EINVAL, fmt::format("{}: {}={} is not a number from {} to {}", options.kind(), key,
                                     printable(*text), least, most)};
  }
  return number;
}

Result<std::optional<PortId>> read_port_option(const BackendOptions& options) {
  Result<std::optional<std::int64_t>> number = read_number_option(options, "port", 0, kPortMax);
  if (!number) return number.error();
  if (!number.value()) return std::optional<PortId>();
  return std::optional<PortId>(static_cast<PortId>(*number.value()));
}

}  // namespace lanyard
