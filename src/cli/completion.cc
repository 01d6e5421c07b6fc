#include <CLI/CLI.hpp>

#include "cli/output.h"

namespace walrus::cli {
namespace {

// A verb with all words that may follow it. The scripts are made from the parser, so that they
// cannot miss a flag.
struct Place {
  std::string path;  // "topic create"; "" for walrus itself
  std::vector<std::string> verbs, flags;
  std::string description;
  bool takes_topic = false;
};

std::vector<std::string> flags_of(const CLI::App& app) {
  std::vector<std::string> flags;
  for (const auto* option : app.get_options())
    for (const auto& name : option->get_lnames()) flags.push_back("--" + name);
  return flags;
}

void collect(const CLI::App& app, const std::string& path, std::vector<Place>& places) {
  Place place{.path = path, .flags = flags_of(app), .description = app.get_description()};
  for (const auto* option : app.get_options())
    if (option->get_positional() && option->get_name(true) == "topic") place.takes_topic = true;
  auto verbs = app.get_subcommands([](const CLI::App*) { return true; });
  for (const auto* verb : verbs) place.verbs.push_back(verb->get_name());
  places.push_back(std::move(place));
  for (const auto* verb : verbs)
    collect(*verb, path.empty() ? verb->get_name() : path + " " + verb->get_name(), places);
}

constexpr Bytes kTopics = "$(walrus --quiet topic list 2>/dev/null)";

std::string bash_script(const std::vector<Place>& places) {
  std::string known, cases;
  for (const auto& place : places) {
    if (!place.path.empty()) known += fmt::format("{}'{}'", known.empty() ? "" : "|", place.path);
    cases += fmt::format("    '{}') words=\"{} {}\"", place.path, fmt::join(place.verbs, " "),
                         fmt::join(place.flags, " "));
    if (place.takes_topic) cases += fmt::format("; words+=\" {}\"", kTopics);
    cases += " ;;\n";
  }
  return fmt::format(R"(# bash completion for walrus: source <(walrus completion bash)
_walrus() {{
  local current="${{COMP_WORDS[COMP_CWORD]}}" path="" next words="" i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="${{path:+$path }}${{COMP_WORDS[i]}}"
    case "$next" in
      {}) path="$next" ;;
    esac
  done
  case "$path" in
{}  esac
  [ -z "$path" ] || words+=" {}"
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _walrus walrus
)",
                     known, cases, fmt::join(places.front().flags, " "));
}

std::string zsh_script(const std::vector<Place>& places) {
  std::string known, cases;
  for (const auto& place : places) {
    if (!place.path.empty()) known += fmt::format("{}'{}'", known.empty() ? "" : "|", place.path);
    cases += fmt::format("    '{}') words_here=({} {}", place.path, fmt::join(place.verbs, " "),
                         fmt::join(place.flags, " "));
    if (place.takes_topic) cases += fmt::format(" {}", kTopics);
    cases += ") ;;\n";
  }
  return fmt::format(R"(#compdef walrus
# zsh completion for walrus: source <(walrus completion zsh)
_walrus() {{
  local place="" next i
  local -a words_here
  for ((i = 2; i < CURRENT; i++)); do
    next="${{place:+$place }}${{words[i]}}"
    case "$next" in
      {}) place="$next" ;;
    esac
  done
  case "$place" in
{}  esac
  [[ -z "$place" ]] || words_here+=({})
  compadd -- $words_here
  _files
}}
if [ "$funcstack[1]" = "_walrus" ]; then _walrus "$@"; else compdef _walrus walrus; fi
)",
                     known, cases, fmt::join(places.front().flags, " "));
}

std::string quoted(std::string text) {  // for fish: single quotes, \ and ' escaped
  std::string result = "'";
  for (char c : text) {
    if (c == '\'' || c == '\\') result += '\\';
    result += c;
  }
  return result + "'";
}

std::string fish_script(const std::vector<Place>& places) {
  std::string script = "# fish completion for walrus: walrus completion fish | source\n";
  for (const auto& flag : places.front().flags)
    script += fmt::format("complete -c walrus -l {}\n", flag.substr(2));
  for (const auto& place : places) {
    auto space = place.path.find(' ');
    auto first = place.path.substr(0, space);
    auto below = [&](Bytes verb) { return fmt::format("__fish_seen_subcommand_from {}", verb); };
    auto here = place.path.empty() ? std::string("__fish_use_subcommand")
                : space == std::string::npos
                    ? below(first)
                    : below(first) + "; and " + below(place.path.substr(space + 1));
    for (const auto& verb : place.verbs) {
      auto full = place.path.empty() ? verb : place.path + " " + verb;
      for (const auto& other : places)
        if (other.path == full)
          script += fmt::format("complete -c walrus -f -n {} -a {} -d {}\n", quoted(here), verb,
                                quoted(other.description));
    }
    if (place.path.empty()) continue;
    for (const auto& flag : place.flags)
      if (flag != "--help")
        script += fmt::format("complete -c walrus -n {} -l {}\n", quoted(here), flag.substr(2));
    if (place.takes_topic)
      script += fmt::format(
          "complete -c walrus -n {} -a '(walrus --quiet topic list 2>/dev/null)'\n", quoted(here));
  }
  return script;
}

}  // namespace

void add_completion(CommandLine& line) {
  auto shell = std::make_shared<std::string>();
  auto* verb =
      line.add(line.root(), "completion", "A completion script: source <(walrus completion bash)",
               [&line, shell](const Globals&) -> Result<int> {
                 std::vector<Place> places;
                 collect(line.root(), "", places);
                 WALRUS_TRY(print(*shell == "bash"  ? bash_script(places)
                                  : *shell == "zsh" ? zsh_script(places)
                                                    : fish_script(places)));
                 return kExitDone;
               });
  verb->add_option("shell", *shell, "bash, zsh or fish")
      ->required()
      ->check(CLI::IsMember({"bash", "zsh", "fish"}));
}

}  // namespace walrus::cli
