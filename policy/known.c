/*
 * known.c - names of which a policy has to know more than they say
 *
 * Theory of operation: short lists, for the compiler's errors and warnings of what should not be granted
 * by accident, and of the large git hosts that ignore case. The public
 * suffixes are those an administrator is likely to meet (country second levels, and hosting under
 * which any customer gets a name, which are the ways data leaves through); a wildcard over one that
 * is not listed compiles, and is bounded by what the administrator wrote. The full Public Suffix
 * List would be a dependency that changes weekly, and two hosts with different lists would disagree
 * on one policy.
 */
#include "policy/name.h"

#include <string.h>

/* clang-format off */
static const char *const suffixes[] = {
	"co.uk", "org.uk", "me.uk", "ac.uk", "gov.uk", "net.uk", "ltd.uk", "plc.uk", "sch.uk",
	"nhs.uk", "com.au", "net.au", "org.au", "edu.au", "gov.au", "id.au", "co.nz", "net.nz",
	"org.nz", "ac.nz", "govt.nz", "co.jp", "ne.jp", "or.jp", "ac.jp", "go.jp", "ad.jp",
	"co.kr", "or.kr", "go.kr", "ac.kr", "com.br", "net.br", "org.br", "gov.br", "com.cn",
	"net.cn", "org.cn", "gov.cn", "edu.cn", "com.hk", "org.hk", "com.tw", "org.tw", "com.sg",
	"edu.sg", "gov.sg", "com.my", "co.id", "or.id", "co.th", "com.vn", "com.ph", "co.in",
	"net.in", "org.in", "gov.in", "ac.in", "com.pk", "com.bd", "co.il", "org.il", "ac.il",
	"com.tr", "org.tr", "com.sa", "com.eg", "co.za", "org.za", "co.ke", "com.ng", "com.mx",
	"org.mx", "com.ar", "com.co", "com.pe", "com.ve", "com.ec", "com.uy", "co.at", "or.at",
	"ac.at", "com.pl", "net.pl", "org.pl", "com.ua", "com.ru", "com.es", "com.pt", "com.gr",
	"com.cy", "co.hu", "asso.fr", "gouv.fr", "com.fr", "uk.com", "us.com", "eu.com", "de.com",
	"in-addr.arpa", "ip6.arpa",

	"github.io", "githubusercontent.com", "githubpreview.dev", "app.github.dev", "gitlab.io",
	"bitbucket.io", "codeberg.page", "pages.dev", "workers.dev", "r2.dev", "cloudfront.net",
	"s3.amazonaws.com", "elb.amazonaws.com", "elasticbeanstalk.com",
	"execute-api.us-east-1.amazonaws.com", "lambda-url.us-east-1.on.aws", "on.aws",
	"awsapprunner.com", "amplifyapp.com", "appspot.com", "run.app", "web.app",
	"firebaseapp.com", "firebaseio.com", "cloudfunctions.net", "azurewebsites.net",
	"azureedge.net", "azurefd.net", "azure-api.net", "azurestaticapps.net", "cloudapp.net",
	"cloudapp.azure.com", "trafficmanager.net", "blob.core.windows.net",
	"file.core.windows.net", "web.core.windows.net", "servicebus.windows.net",
	"database.windows.net", "herokuapp.com", "herokudns.com", "vercel.app", "now.sh",
	"netlify.app", "netlify.com", "onrender.com", "fly.dev", "railway.app", "up.railway.app",
	"deno.dev", "glitch.me", "repl.co", "replit.app", "replit.dev", "surge.sh", "ngrok.io",
	"ngrok.app", "ngrok-free.app", "ngrok.dev", "trycloudflare.com", "loca.lt",
	"localhost.run", "serveo.net", "ts.net", "digitaloceanspaces.com", "ondigitalocean.app",
	"linodeobjects.com", "backblazeb2.com", "wasabisys.com", "supabase.co", "hf.space",
	"streamlit.app", "gradio.live", "blogspot.com", "wordpress.com", "wixsite.com",
	"myshopify.com", "sharepoint.com", "fastly.net", "global.ssl.fastly.net", "edgesuite.net",
	"akamaized.net", "akamaihd.net", "b-cdn.net", "readthedocs.io", "duckdns.org", "no-ip.org",
	"ddns.net", "dyndns.org", "hopto.org", "zapto.org", "nip.io", "sslip.io", "xip.io",
	"requestbin.net", "oast.fun", "oast.pro", "oast.live", "oast.site", "oast.online",
	"oast.me", "interact.sh", "burpcollaborator.net", "oastify.com",
};
/* clang-format on */

bool known_public_suffix(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (!strcmp(name, suffixes[i]))
			return true;
	return false;
}

const char *known_suffix_below(const char *base)
{
	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++)
		if (name_is_below(suffixes[i], base) && strcmp(suffixes[i], base))
			return suffixes[i];
	return NULL;
}

/* clang-format off */
static const char *const resolvers[] = {
	"dns.google", "dns.google.com", "dns64.dns.google", "8888.google", "cloudflare-dns.com",
	"mozilla.cloudflare-dns.com", "chrome.cloudflare-dns.com", "security.cloudflare-dns.com",
	"family.cloudflare-dns.com", "dns64.cloudflare-dns.com", "one.one.one.one",
	"1dot1dot1dot1.cloudflare-dns.com", "cloudflare-gateway.com", "dns.quad9.net",
	"dns9.quad9.net", "dns10.quad9.net", "dns11.quad9.net", "dns12.quad9.net",
	"doh.opendns.com", "dns.opendns.com", "dns.umbrella.com", "doh.umbrella.com",
	"doh.familyshield.opendns.com", "doh.sandbox.opendns.com", "dns.nextdns.io",
	"dns1.nextdns.io", "anycast.dns.nextdns.io", "doh3.dns.nextdns.io",
	"chromium.dns.nextdns.io", "firefox.dns.nextdns.io", "dns.adguard.com",
	"dns.adguard-dns.com", "family.adguard-dns.com", "unfiltered.adguard-dns.com",
	"dns-family.adguard.com", "doh.cleanbrowsing.org", "family-filter-dns.cleanbrowsing.org",
	"dns.mullvad.net", "doh.mullvad.net", "adblock.dns.mullvad.net", "base.dns.mullvad.net",
	"all.dns.mullvad.net", "freedns.controld.com", "dns.controld.com", "doh.dns.sb", "dns.sb",
	"dot.sb", "doh.li", "doh.libredns.gr", "dot.libredns.gr", "dns.alidns.com", "dns.pub",
	"doh.pub", "dot.pub", "doh.360.cn", "dot.360.cn", "dns.twnic.tw", "doh.xfinity.com",
	"doh.cox.net", "dns.digitale-gesellschaft.ch", "dns.switch.ch", "doh.applied-privacy.net",
	"dot1.applied-privacy.net", "odvr.nic.cz", "dnsforge.de", "dns.njal.la", "dns0.eu",
	"zero.dns0.eu", "kids.dns0.eu", "open.dns0.eu", "wikimedia-dns.org", "doh.tiar.app",
	"dot.tiar.app", "jp.tiar.app", "public.dns.iij.jp", "doh.ffmuc.net", "dot.ffmuc.net",
	"unicast.uncensoreddns.org", "anycast.uncensoreddns.org", "dns.rabbitdns.org",
	"dns.circl.lu", "doh.dns4all.eu", "dns4all.eu", "protective.joindns4.eu",
	"unfiltered.joindns4.eu", "mask.icloud.com", "mask-h2.icloud.com",
};
/* clang-format on */

const char *known_resolver(const struct name_pattern *p)
{
	for (size_t i = 0; i < ARRAY_SIZE(resolvers); i++)
		if (name_pattern_matches(p, resolvers[i]))
			return resolvers[i];
	return NULL;
}

bool known_ignores_case(const char *host)
{
	static const char *const hosts[] = { "github.com", "gitlab.com", "bitbucket.org", "codeberg.org", "gitea.com" };

	for (size_t i = 0; i < ARRAY_SIZE(hosts); i++)
		if (!strcmp(host, hosts[i]))
			return true;
	return false;
}

const char *known_side_door(size_t i)
{
	static const char *const doors[] = { "ssh",	"api",	  "codeload", "gist",
					     "uploads", "altssh", "raw" };

	return i < ARRAY_SIZE(doors) ? doors[i] : NULL;
}
