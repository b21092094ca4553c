// SPDX-License-Identifier: MIT
#include "switch/control/vde_plugins.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>

#include "switch/control/plugin_probe.h"
#include "switch/frame/settler.h"

namespace lanyard {
namespace {

// The interface gives its functions no context: this is it.
VdePlugins* active_host = nullptr;

// Kinds of command: what is given to the function, and in which order.
constexpr unsigned kIntegerArgument = 1;
constexpr unsigned kTextArgument = 2;
constexpr unsigned kArgumentMask = 0x1f;
constexpr unsigned kWantsFile = 0x40;
constexpr unsigned kWantsDescriptor = 0x80;

constexpr std::size_t kScratchTail = 64;  // zeros behind a frame, for readers that do not count

// A text whose lines can be data of a reply.
void append_lines(std::string_view text, Reply& reply) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string line = printable(text.substr(0, end));
    reply.line("{}", line == "." ? ". " : line);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// Bits: learns, forwards.
int tree_status(std::string_view text) {
  const bool learns = text.find("learning") != std::string_view::npos;
  const bool forwards = text.find("forwarding") != std::string_view::npos;
  return (learns ? 1 : 0) | (forwards ? 2 : 0);
}

// "80:00:..." as the eight bytes it stands for.
std::array<std::uint8_t, 8> bridge_id(std::string_view text) {
  std::array<std::uint8_t, 8> bytes{};
  for (std::uint8_t& byte : bytes) {
    const std::string_view pair = text.substr(0, 2);
    if (std::from_chars(pair.data(), pair.data() + pair.size(), byte, 16).ec != std::errc{}) break;
    text.remove_prefix(std::min<std::size_t>(3, text.size()));
  }
  return bytes;
}

}  // namespace

// While one of its functions runs, what is registered is this plugin's.
class VdePlugin::Running {
 public:
  explicit Running(VdePlugin& plugin)
      : all_(plugin.all_), outer_(std::exchange(plugin.all_.running_, &plugin)) {}
  ~Running() { all_.running_ = outer_; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  VdePlugins& all_;
  VdePlugin* outer_;
};

VdeCategory* vde_event(std::string_view path) {
  const auto row = [](const char* name, int tag) {
    VdeCategory category{};
    category.path = const_cast<char*>(name);  // the interface knows no const
    category.tag = tag;
    return category;
  };
  static std::array<VdeCategory, 16> events{
      row("packet/in", 01001), row("packet/out", 01002), row("hash/+", 011),
      row("hash/-", 012),      row("fstp/status", 044),  row("fstp/root", 045),
      row("fstp/+", 041),      row("fstp/-", 042),       row("port/+", 021),
      row("port/-", 022),      row("port/descr", 023),   row("port/ep/+", 031),
      row("port/ep/-", 032),   row("mgmt/+", 02001),     row("mgmt/-", 02002),
      row("sig/hup", 03001)};
  const auto found = std::find_if(events.begin(), events.end(),
                                  [&](const VdeCategory& event) { return path == event.path; });
  return found == events.end() ? nullptr : &*found;
}

// ---- all of them ----

VdePlugins::VdePlugins(PluginEnvironment& environment) : environment_(environment) {
  active_host = this;
}

VdePlugins::~VdePlugins() {
  if (active_host == this) active_host = nullptr;
}

void VdePlugins::stand_aside() {
  active_host = nullptr;
}

VdePlugins* VdePlugins::active() {
  return active_host;
}

Result<std::unique_ptr<Plugin>> VdePlugins::load(const std::string& file) {
  auto plugin = std::make_unique<VdePlugin>(*this, file, environment_);
  active_host = this;
  const Result<bool> opened = plugin->open();
  if (!opened) return opened.error();
  if (!opened.value()) return std::unique_ptr<Plugin>();
  return std::unique_ptr<Plugin>(std::move(plugin));
}

// ---- one of them ----

VdePlugin::VdePlugin(VdePlugins& all, std::string file, PluginEnvironment& environment)
    : all_(all), file_(std::move(file)), environment_(environment) {
  all_.plugins_.push_back(this);
}

VdePlugin::~VdePlugin() {
  {
    // Its destructor takes back what it can; the rest is ours to take.
    const Running running(*this);
    library_.reset();
  }
  end_registrations();
  std::erase(all_.plugins_, this);
}

Result<bool> VdePlugin::open() {
  const Running running(*this);
  Result<Library> library = Library::open(file_, false);
  if (!library) return library.error();
  library_ = std::make_unique<Library>(library.take());
  const auto* const data = static_cast<VdePluginData*>(library_->symbol("vde_plugin_data"));
  if (data == nullptr) return false;
  name_ = data->name != nullptr ? printable(data->name) : file_;
  help_ = data->help != nullptr ? printable(data->help) : "";
  return true;
}

// In a child whose descriptors lead nowhere, so what the plugin writes last is written once.
Result<void> VdePlugin::try_end() {
  return probe(name_, [this]() -> Result<void> {
    VdePlugins::stand_aside();
    library_.reset();
    return {};
  });
}

void VdePlugin::abandon() {
  library_->abandon();
}

// Strings of the library may be gone already.
void VdePlugin::end_registrations() {
  for (const Row& row : commands_) environment_.commands.remove((*row.text)[0]);
  for (const Category& category : categories_) {
    if (category.listed) environment_.hub.remove_category(category.number);
  }
  commands_.clear();
  categories_.clear();
  handlers_.clear();
  timers_.clear();
  update_filter();
}

// ---- commands ----

std::vector<std::string> VdePlugin::commands() const {
  std::vector<std::string> paths;
  for (const Row& row : commands_) paths.push_back((*row.text)[0]);
  return paths;
}

void VdePlugin::add_command(const VdeCommand& given) {
  if (given.path == nullptr) return;
  const auto text = [](const char* foreign) {
    return foreign != nullptr ? printable(foreign) : std::string();
  };
  Row row;
  row.given = &given;
  row.text = std::make_unique<std::array<std::string, 3>>(
      std::array{text(given.path), text(given.syntax), text(given.help)});
  Command command;
  command.path = (*row.text)[0];
  command.synopsis = (*row.text)[1];
  command.help = (*row.text)[2];
  command.has_data = (given.type & kWantsFile) != 0;
  if (given.run != nullptr) {
    command.run = [this, &given](CommandContext&, Args& args, Reply& reply) {
      return run_command(given, args, reply);
    };
  }
  environment_.commands.add(command);
  commands_.push_back(std::move(row));
}

void VdePlugin::remove_command(const VdeCommand& given) {
  const auto found = std::find_if(commands_.begin(), commands_.end(),
                                  [&](const Row& row) { return row.given == &given; });
  if (found == commands_.end()) return;
  environment_.commands.remove((*found->text)[0]);
  commands_.erase(found);
}

// The function's parameters depend on its type and are all passed as registers are: a word each.
Result<void> VdePlugin::run_command(const VdeCommand& row, Args& args, Reply& reply) {
  using Word = std::uintptr_t;
  using Function = int (*)(Word, Word, Word);
  std::array<Word, 3> words{};
  std::size_t count = 0;
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* file = nullptr;
  if ((row.type & kWantsFile) != 0) {
    file = ::open_memstream(&text, &size);
    if (file == nullptr) return Error{ENOMEM, "no memory for a reply"};
    words[count++] = reinterpret_cast<Word>(file);
  }
  // The console's descriptor is not the plugin's business: none, as in an rc file.
  if ((row.type & kWantsDescriptor) != 0) words[count++] = static_cast<Word>(-1);
  std::string argument(args.rest());
  const unsigned kind = row.type & kArgumentMask;
  if (kind == kIntegerArgument) words[count++] = static_cast<Word>(args.number_or_zero());
  if (kind == kTextArgument) words[count++] = reinterpret_cast<Word>(argument.data());
  int error = 0;
  {
    const Running running(*this);
    error =
        reinterpret_cast<Function>(reinterpret_cast<void*>(row.run))(words[0], words[1], words[2]);
  }
  if (file != nullptr) {
    std::fclose(file);
    append_lines({text, size}, reply);
    std::free(text);
  }
  if (error == 0) {
    // Nothing says what it did. One without an argument only shows; of others, the order counts.
    // Its own copy it may have written to.
    if (kind != 0) note_said(row.path, args.rest(), Replaces::line);
    return {};
  }
  const int code = error > 0 && error < 1000 ? error : EINVAL;
  return Error{code, fmt::format("{}: {}", name_, std::strerror(code))};
}

// ---- debug categories and events ----

void VdePlugin::add_category(VdeCategory& given) {
  if (given.path == nullptr) return;
  Category category;
  category.given = &given;
  category.text = std::make_unique<std::array<std::string, 2>>(
      std::array{printable(given.path), given.help != nullptr ? printable(given.help) : ""});
  given.fd_count = 0;
  if (given.help != nullptr) {
    const Result<std::size_t> number = environment_.hub.add_category(
        {(*category.text)[0], static_cast<unsigned>(given.tag), (*category.text)[1]});
    if (number) {
      category.number = number.value();
      category.listed = true;
    } else {
      environment_.log.warning("plugin {}: {}", file_, number.error().text);
    }
  }
  categories_.push_back(std::move(category));
  count_handlers();
}

void VdePlugin::remove_category(VdeCategory& given) {
  const auto found = std::find_if(categories_.begin(), categories_.end(),
                                  [&](const Category& one) { return one.given == &given; });
  if (found == categories_.end()) return;
  if (found->listed) environment_.hub.remove_category(found->number);
  categories_.erase(found);
}

bool VdePlugin::tell(const VdeCategory& given, std::string_view text) {
  for (const Category& category : categories_) {
    if (category.given != &given) continue;
    if (category.listed) environment_.hub.tell(category.number, printable(text));
    return true;
  }
  return false;
}

void VdePlugin::on_debug_changed() {
  for (const Category& category : categories_) {
    category.given->fd_count =
        category.listed && environment_.hub.is_wanted(category.number) ? 1 : 0;
  }
}

// Plugins look whether anybody listens before they report.
void VdePlugin::count_handlers() {
  for (const Category& category : categories_) {
    std::size_t count = 0;
    for (const VdePlugin* plugin : all_.plugins_) {
      count += plugin->hears((*category.text)[0]) ? 1 : 0;
    }
    category.given->handler_count = static_cast<unsigned short>(count);
  }
}

bool VdePlugin::hears(std::string_view path) const {
  return std::any_of(handlers_.begin(), handlers_.end(),
                     [&](const Handler& handler) { return path.starts_with(handler.path); });
}

int VdePlugin::add_handler(VdeHandler handler, std::string_view path, void* argument) {
  for (const Handler& known : handlers_) {
    if (known.run == handler && known.path == path && known.argument == argument) return EEXIST;
  }
  handlers_.push_back({handler, std::string(path), argument});
  for (VdePlugin* plugin : all_.plugins_) plugin->count_handlers();
  update_filter();
  environment_.hub.refresh();
  return 0;
}

int VdePlugin::remove_handler(VdeHandler handler, std::string_view path, const void* argument) {
  const std::size_t gone = std::erase_if(handlers_, [&](const Handler& known) {
    return known.run == handler && known.path == path && known.argument == argument;
  });
  if (gone == 0) return ENOENT;
  for (VdePlugin* plugin : all_.plugins_) plugin->count_handlers();
  update_filter();
  return 0;
}

int VdePlugin::fire(VdeCategory& event, va_list arguments) {
  const Running running(*this);
  int answer = 0;
  // By index: a handler may add or take away handlers.
  for (std::size_t i = 0; i < handlers_.size(); ++i) {
    if (!std::string_view(event.path).starts_with(handlers_[i].path)) continue;
    va_list own;
    va_copy(own, arguments);
    const int said = handlers_[i].run(&event, handlers_[i].argument, own);
    va_end(own);
    if (said != 0) answer = said;
    if (said < 0) break;
  }
  return answer;
}

int VdePlugin::call(VdeCategory* event, ...) {
  va_list arguments;
  va_start(arguments, event);
  const int answer = fire(*event, arguments);
  va_end(arguments);
  return answer;
}

void VdePlugin::on_event(const Event& event) {
  using Kind = Event::Kind;
  if (handlers_.empty()) return;
  const int port = event.port;
  switch (event.kind) {
    case Kind::port_added: call(vde_event("port/+"), port); break;
    case Kind::port_emptied: call(vde_event("port/-"), port); break;
    case Kind::endpoint_added: call(vde_event("port/ep/+"), port, event.endpoint_id); break;
    case Kind::endpoint_removed: call(vde_event("port/ep/-"), port, event.endpoint_id); break;
    case Kind::port_described: {
      std::string text = printable(event.text);
      call(vde_event("port/descr"), port, event.endpoint_id, text.data());
      break;
    }
    case Kind::mac_learned:
    case Kind::mac_forgotten: {
      // The address as it lies in memory, then the VLAN.
      std::uint64_t station = std::uint64_t{event.vlan} << 48;
      for (int i = 0; i < 6; ++i) {
        station |= (event.mac.number() >> (40 - 8 * i) & 0xff) << (8 * i);
      }
      call(vde_event(event.kind == Kind::mac_learned ? "hash/+" : "hash/-"), station);
      break;
    }
    case Kind::tree_heard: call(vde_event("fstp/+"), port, int{event.vlan}); break;
    case Kind::tree_silent: call(vde_event("fstp/-"), port, int{event.vlan}); break;
    case Kind::tree_status:
      call(vde_event("fstp/status"), port, int{event.vlan}, tree_status(event.text));
      break;
    case Kind::tree_root: {
      std::array<std::uint8_t, 8> root = bridge_id(event.text);
      call(vde_event("fstp/root"), port, int{event.vlan}, root.data());
      break;
    }
    default: break;
  }
}

bool VdePlugin::wants_mac_events() const {
  return hears("hash/+") || hears("hash/-");
}

void VdePlugin::on_hangup_signal() {
  constexpr int kHangup = 1;
  call(vde_event("sig/hup"), kHangup);
}

void VdePlugin::on_console(bool began, int fd) {
  call(vde_event(began ? "mgmt/+" : "mgmt/-"), fd);
}

int VdePlugin::add_timer(Duration period, int times, void (*expired)(void*), void* argument) {
  if (period <= Duration{0} || expired == nullptr) return -1;
  const int number = next_timer_++;
  Timer& timer = timers_[number];
  timer.left = times;
  timer.handle = environment_.lane.loop().every(period, [this, number, expired, argument] {
    const auto found = timers_.find(number);
    if (found == timers_.end()) return;
    const bool last = found->second.left == 1;
    if (found->second.left > 1) --found->second.left;
    {
      const Running running(*this);
      expired(argument);
    }
    if (last) timers_.erase(number);
  });
  return number;
}

// ---- frames ----

// A filter only while somebody wants to see frames.
void VdePlugin::update_filter() {
  const bool wanted = hears("packet/in") || hears("packet/out");
  if (wanted == filtering_) return;
  filtering_ = wanted;
  if (wanted) {
    environment_.bridge.filters().add(*this);
  } else {
    environment_.bridge.filters().remove(*this);
  }
}

void VdePlugin::ingress(PortId in, std::span<FrameRef> frames, std::span<Verdict> verdicts) {
  if (!hears("packet/in")) return;
  scratch_.resize(kMaxFrameSize + kScratchTail);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    std::size_t size = 0;
    for (std::size_t s = 0; s < frames[i]->segment_count; ++s) {
      const Segment& segment = frames[i]->segments[s];
      std::memcpy(&scratch_[size], segment.data, segment.size);
      size += segment.size;
    }
    verdicts[i] = judge(*vde_event("packet/in"), in, frames[i], size);
  }
}

// As the original shows it: what goes on the wire, tag included.
void VdePlugin::egress(PortId out, std::span<Outgoing> frames, std::span<Verdict> verdicts) {
  if (!hears("packet/out")) return;
  scratch_.resize(kMaxFrameSize + kScratchTail);
  for (std::size_t i = 0; i < frames.size(); ++i) {
    std::array<iovec, kGatherMax> parts{};
    const std::size_t count = gather(frames[i], parts);
    std::size_t size = 0;
    for (std::size_t part = 0; part < count; ++part) {
      std::memcpy(&scratch_[size], parts[part].iov_base, parts[part].iov_len);
      size += parts[part].iov_len;
    }
    const Frame* const before = &*frames[i].frame;
    const std::uint32_t length = frames[i].frame->size;
    verdicts[i] = judge(*vde_event("packet/out"), out, frames[i].frame, size);
    // A changed frame has its tag, if any, in its bytes.
    const bool changed = &*frames[i].frame != before || frames[i].frame->size != length;
    if (changed) frames[i].tagged = false;
  }
}

// Handlers write where they like in the buffer; only a positive answer makes it the frame.
Filter::Verdict VdePlugin::judge(VdeCategory& event, PortId port, FrameRef& frame,
                                 std::size_t size) {
  std::memset(&scratch_[size], 0, kScratchTail);
  const int answer = call(&event, static_cast<int>(port), reinterpret_cast<char*>(scratch_.data()),
                          static_cast<int>(size));
  if (answer == 0) return Verdict::pass;
  if (answer < 0) return Verdict::drop;
  if (static_cast<std::size_t>(answer) > kMaxFrameSize) {
    environment_.log.error("plugin {}: it made a frame of {} bytes, dropped", name_, answer);
    return Verdict::drop;
  }
  FrameRef made = environment_.lane.pool().make();
  std::uint8_t* const bytes = made->segments[0].data;
  std::memcpy(bytes, scratch_.data(), static_cast<std::size_t>(answer));
  made->set_bytes(bytes, static_cast<std::uint32_t>(answer));
  made->vlan = frame->vlan;
  made->priority = frame->priority;
  made->offload = frame->offload;
  if (!is_sound(*made)) made->offload = Offload{};
  frame = std::move(made);
  return Verdict::pass;
}

}  // namespace lanyard
