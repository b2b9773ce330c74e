import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.stream.Collectors;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.leader.LeaderLatch;
import org.apache.curator.framework.recipes.leader.LeaderLatchListener;
import org.apache.curator.framework.recipes.leader.Participant;
import org.apache.curator.retry.RetryForever;

/**
 * One participant of Curator's LeaderLatch as a process.
 *
 * <p>Arguments: HOSTS PATH ID SESSION_TIMEOUT_MILLISECONDS. Prints one JSON object a line, stamped
 * with the machine's monotonic clock; reads "resign" (a new latch queues at the end),
 * "participants" (their ids in the order in which Curator sorts them) and "quit".
 */
public final class LatchParticipant {
    private final CuratorFramework client;
    private final String path;
    private final String id;
    private LeaderLatch latch;

    private LatchParticipant(CuratorFramework client, String path, String id) {
        this.client = client;
        this.path = path;
        this.id = id;
    }

    public static void main(String[] arguments) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(
                arguments[0], Integer.parseInt(arguments[3]), 5000, new RetryForever(100));
        client.start();
        client.blockUntilConnected();
        LatchParticipant participant = new LatchParticipant(client, arguments[1], arguments[2]);
        participant.enter();
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        String command = commands.readLine();
        while (command != null && !command.equals("quit")) {
            participant.obey(command);
            command = commands.readLine();
        }
        participant.leave();
        client.close();
    }

    private void obey(String command) throws Exception {
        switch (command) {
            case "resign" -> {
                leave();
                enter();
            }
            case "participants" -> {
                String ids = latch.getParticipants().stream()
                        .map(Participant::getId)
                        .map(text -> '"' + text + '"')
                        .collect(Collectors.joining(", "));
                String leader = latch.getLeader().getId();
                print("participants", ", \"ids\": [" + ids + "], \"leader\": \"" + leader + "\"");
            }
            default -> throw new IllegalArgumentException(command);
        }
    }

    /**
     * Closing a latch ends its belief first (hasLeadership() looks at the state, which close()
     * changes before anything else), then deletes its znode, and only then tells its listener: too
     * late to be a stamp of when the belief ended. So we stamp it before and close silently.
     */
    private void leave() throws Exception {
        if (latch.hasLeadership()) {
            print("revoked", "");
        }
        latch.close(LeaderLatch.CloseMode.SILENT);
    }

    private void enter() throws Exception {
        latch = new LeaderLatch(client, path, id);
        latch.addListener(new LeaderLatchListener() {
            @Override
            public void isLeader() {
                print("elected", "");
            }

            @Override
            public void notLeader() {
                print("revoked", "");
            }
        });
        latch.start();
    }

    private synchronized void print(String event, String fields) {
        double at = System.nanoTime() / 1e9;
        System.out.printf("{\"event\": \"%s\", \"id\": \"%s\", \"at\": %.9f%s}%n", event, id, at, fields);
        System.out.flush();
    }
}
