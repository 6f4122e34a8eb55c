# gnuplot histograms.gp makes histograms.svg; with -e "format='png'", histograms.png
if (!exists("format")) format = 'svg'
if (format eq 'svg') {
  set terminal svg noenhanced background 'white' size 900,600
} else {
  if (strstrt(GPVAL_TERMINALS, 'pngcairo')) {
    set terminal pngcairo noenhanced size 900,600
  } else {
    set terminal png noenhanced size 900,600
  }
}
set output 'histograms.'.format
set datafile separator ','
heading = "Entries of P off the diagonal at the end"."\n"."Figure 5 with P on the momentum, ours: the matrices that FOP learns; CIFAR-10 (JPEG q75), cpu scale"."\n"."(20000 training images, 25 epochs of batches of 64 with momentum's learning rate in proportion, no"."\n"."dropout, seed 0)"
set label 1 heading at screen 0.5, screen 0.97 center
set tmargin 6
set xlabel 'off-diagonal entry'
set ylabel 'number'
set key outside right
set datafile missing NaN
set yrange [0:*]
width = 0.01
bin(x) = width * floor(x / width + 0.5)
of(l) = strcol(1) eq l && strcol(2) eq 'off-diagonal' ? bin(column(3)) : NaN
plot 'entries.csv' using (of('conv1')):(1) every ::1 smooth frequency with linespoints title 'conv1', 'entries.csv' using (of('conv2')):(1) every ::1 smooth frequency with linespoints title 'conv2', 'entries.csv' using (of('conv3')):(1) every ::1 smooth frequency with linespoints title 'conv3', 'entries.csv' using (of('conv4')):(1) every ::1 smooth frequency with linespoints title 'conv4', 'entries.csv' using (of('conv5')):(1) every ::1 smooth frequency with linespoints title 'conv5', 'entries.csv' using (of('conv6')):(1) every ::1 smooth frequency with linespoints title 'conv6', 'entries.csv' using (of('conv7')):(1) every ::1 smooth frequency with linespoints title 'conv7'
